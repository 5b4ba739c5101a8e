//! The colours of the figures. The style sheet owns them, one value per theme; this reads them.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// One meaning per colour, the same in every figure and in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    /// The target.
    pub ink: Rgb,
    /// The model's exact density.
    pub model: Rgb,
    /// Samples.
    pub sample: Rgb,
    /// Trajectories.
    pub path: Rgb,
    /// The state S0.
    pub start: Rgb,
    /// The rim of S0, in both themes.
    pub rim: Rgb,
    /// Modes.
    pub mode: Rgb,
    /// The buggy model.
    pub bug: Rgb,
    /// The tempered target.
    pub tempered: Rgb,
    /// Flow, and the density that a loss asks for.
    pub flow: Rgb,
    /// Too much forward flow.
    pub over: Rgb,
    /// Too little forward flow.
    pub under: Rgb,
    /// The page's ground.
    pub paper: Rgb,
    /// Axes.
    pub axis: Rgb,
    /// The words on the axes.
    pub label: Rgb,
}

impl Palette {
    /// Reads the palette, where `value` gives the text of a CSS custom property. A colour that is
    /// missing or malformed becomes a mid grey, which shows on both themes.
    pub fn read(value: impl Fn(&str) -> String) -> Self {
        let colour = |name: &str| parse(&value(name)).unwrap_or([0x80; 3]);
        Palette {
            ink: colour("--ink"),
            model: colour("--model"),
            sample: colour("--sample"),
            path: colour("--path"),
            start: colour("--start"),
            rim: colour("--rim"),
            mode: colour("--mode"),
            bug: colour("--bug"),
            tempered: colour("--tempered"),
            flow: colour("--flow"),
            over: colour("--over"),
            under: colour("--under"),
            paper: colour("--paper"),
            axis: colour("--axis"),
            label: colour("--label"),
        }
    }
}

/// The colour `share` of the way from one colour to another; shares beyond [0, 1] are its ends.
pub fn mix(from: Rgb, to: Rgb, share: f64) -> Rgb {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|i| {
        let (a, b) = (f64::from(from[i]), f64::from(to[i]));
        (a + share * (b - a)).round() as u8
    })
}

/// The colour written `#rrggbb` or `#rgb`.
fn parse(text: &str) -> Option<Rgb> {
    let digits: Vec<u8> = text
        .trim()
        .strip_prefix('#')?
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    match *digits.as_slice() {
        [r, g, b] => Some([17 * r, 17 * g, 17 * b]),
        [r, s, g, h, b, c] => Some([16 * r + s, 16 * g + h, 16 * b + c]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_as_css_writes_them() {
        assert_eq!(parse(" #0072b2"), Some([0x00, 0x72, 0xb2]));
        assert_eq!(parse("#fa0"), Some([0xff, 0xaa, 0x00]));
        for wrong in ["", "0072b2", "#0072b", "#00g", "blue"] {
            assert_eq!(parse(wrong), None);
        }
    }

    #[test]
    fn colours_mix_from_one_end_to_the_other() {
        let (black, orange) = ([0, 0, 0], [200, 100, 0]);
        for (share, expected) in [(-1.0, black), (0.5, [100, 50, 0]), (7.0, orange)] {
            assert_eq!(mix(black, orange, share), expected);
        }
    }

    /// Every colour that a figure asks for is in the style sheet, once per theme.
    #[test]
    fn the_style_sheet_has_every_colour_in_both_themes() {
        let css = include_str!("../../assets/style.css");
        let missing = std::cell::RefCell::new(Vec::new());
        Palette::read(|name| {
            let values: Vec<&str> = css
                .lines()
                .filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
                .filter_map(|value| value.trim().strip_suffix(';'))
                .collect();
            if values.len() != 2 || values.iter().any(|v| parse(v).is_none()) {
                missing.borrow_mut().push(name.to_owned());
            }
            String::new()
        });
        assert_eq!(missing.into_inner(), Vec::<String>::new());
    }
}
