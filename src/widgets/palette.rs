//! The colours of the figures. The style sheet owns them, one value per theme; this reads them.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// How much of a trajectory's line covers what is below it: many lie on each other.
pub const PATH_ALPHA: f64 = 0.6;

/// One meaning per colour, the same in every figure and in the text. Colours that meet in a figure
/// also differ by dashes or width, unless they are told apart by all eyes; the tests have both lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    /// The target.
    pub ink: Rgb,
    /// The model's exact density.
    pub model: Rgb,
    /// Samples: the bars, and the line around them.
    pub sample: Rgb,
    pub sample_edge: Rgb,
    /// Trajectories, drawn with [`PATH_ALPHA`].
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
            sample_edge: colour("--sample-edge"),
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
    /// Whether figures are light on dark.
    pub fn is_dark(&self) -> bool {
        let light = |colour: Rgb| colour.map(u32::from).iter().sum::<u32>();
        light(self.paper) < light(self.ink)
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

    const CSS: &str = include_str!("../../assets/style.css");

    /// The values of a custom property in the style sheet: light, dark as the system's theme, dark as
    /// the reader's.
    fn values(name: &str) -> Vec<&'static str> {
        CSS.lines()
            .filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
            .filter_map(|value| value.trim().strip_suffix(';'))
            .collect()
    }

    /// Every colour that a figure asks for is in the style sheet, once per theme, and the dark theme
    /// is the same whoever chose it.
    #[test]
    fn the_style_sheet_has_every_colour_in_both_themes() {
        let missing = std::cell::RefCell::new(Vec::new());
        Palette::read(|name| {
            let values = values(name);
            let is_sound = values.len() == 3 && values.iter().all(|v| parse(v).is_some());
            if !is_sound || values[1] != values[2] {
                missing.borrow_mut().push(name.to_owned());
            }
            String::new()
        });
        assert_eq!(missing.into_inner(), Vec::<String>::new());
    }

    fn themes() -> [(&'static str, Palette); 2] {
        [("light", 0), ("dark", 1)].map(|(name, place)| {
            let value = |property: &str| values(property)[place].to_owned();
            (name, Palette::read(value))
        })
    }

    #[test]
    fn a_palette_knows_whether_it_is_dark() {
        assert_eq!(
            themes().map(|(_, palette)| palette.is_dark()),
            [false, true]
        );
    }

    /// Linear light, in [0, 1], of an sRGB colour.
    fn linear(colour: Rgb) -> [f64; 3] {
        colour.map(|c| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        })
    }

    fn times(matrix: [[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum())
    }

    /// WCAG 2.2's contrast ratio, from 1 to 21.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let luminance = |colour| {
            let [r, g, b] = linear(colour);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// How eyes see linear light: all three kinds of cones, then without one of them (Machado,
    /// Oliveira and Fernandes 2009, severity 1).
    const EYES: [(&str, [[f64; 3]; 3]); 4] = [
        (
            "trichromat",
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        ),
        (
            "protanope",
            [
                [0.152286, 1.052583, -0.204868],
                [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998],
            ],
        ),
        (
            "deuteranope",
            [
                [0.367322, 0.860646, -0.227968],
                [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881],
            ],
        ),
        (
            "tritanope",
            [
                [1.255528, -0.076749, -0.178779],
                [-0.078411, 0.930809, 0.147602],
                [0.004733, 0.691367, 0.303900],
            ],
        ),
    ];

    /// Oklab (Ottosson 2020): equal distances look about equally large, black to white being 1.
    fn oklab(light: [f64; 3]) -> [f64; 3] {
        let cones = times(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ],
            light.map(|c| c.clamp(0.0, 1.0)),
        );
        times(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ],
            cones.map(f64::cbrt),
        )
    }

    /// How different two colours look to those eyes, in Oklab.
    fn distance(eyes: [[f64; 3]; 3], a: Rgb, b: Rgb) -> f64 {
        let [a, b] = [a, b].map(|colour| oklab(times(eyes, linear(colour))));
        let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        square.sqrt()
    }

    #[test]
    fn contrast_and_distance_know_black_and_white() {
        let (black, white) = ([0; 3], [255; 3]);
        assert!((contrast(black, white) - 21.0).abs() < 1e-9);
        // Of WCAG's own examples: the darkest grey that is enough for text on white.
        assert!((contrast([0x76; 3], white) - 4.54).abs() < 0.01);
        for (name, eyes) in EYES {
            assert!((distance(eyes, black, white) - 1.0).abs() < 1e-3, "{name}");
        }
        // Red and green of one lightness: the protanope's and deuteranope's defect.
        let (red, green) = ([0xc0, 0x60, 0x50], [0x6a, 0x85, 0x40]);
        let [all, _, deutan, tritan] = EYES.map(|(_, eyes)| distance(eyes, red, green));
        assert!(
            deutan < 0.25 * all && tritan > 0.5 * all,
            "{deutan} {all} {tritan}"
        );
    }

    /// WCAG 2.2: 3 for what must be seen of a figure (1.4.11), 4.5 for words (1.4.3).
    #[test]
    fn lines_and_words_stand_out_in_both_themes() {
        for (theme, p) in themes() {
            let path = mix(p.paper, p.path, PATH_ALPHA);
            let lines = [
                ("target", p.ink),
                ("model", p.model),
                ("bug", p.bug),
                ("tempered", p.tempered),
                ("modes", p.mode),
                ("flow", p.flow),
                ("over", p.over),
                ("under", p.under),
                ("samples' edge", p.sample_edge),
                ("trajectories", path),
                ("axes", p.axis),
            ];
            for (place, (name, colour)) in lines.into_iter().enumerate() {
                let ratio = contrast(colour, p.paper);
                println!("{theme}: {name} on paper {ratio:.2}");
                assert!(ratio >= 3.0, "{theme}: {name} on paper {ratio}");
                // The first five lie over the samples' bars, too.
                let ratio = contrast(colour, p.sample);
                assert!(
                    place >= 5 || ratio >= 3.0,
                    "{theme}: {name} on bars {ratio}"
                );
            }
            // The start's dot is seen by its rim or by itself.
            let dot = contrast(p.start, p.paper).max(contrast(p.rim, p.paper));
            assert!(dot >= 3.0 && contrast(p.start, p.rim) >= 3.0, "{theme}");
            for (name, colour) in [
                ("labels", p.label),
                ("model", p.model),
                ("bug", p.bug),
                ("tempered", p.tempered),
            ] {
                let ratio = contrast(colour, p.paper);
                assert!(ratio >= 4.5, "{theme}: {name} as words {ratio}");
            }
            assert!(contrast(p.ink, p.sample) >= 4.5, "{theme}: words on bars");
        }
    }

    /// What must be told apart in one figure is, by all eyes: by colour alone where the lines are
    /// alike, and by some colour where dashes or width help.
    #[test]
    fn meanings_are_told_apart_by_all_eyes() {
        for (theme, p) in themes() {
            let alone = [
                ("target and model", p.ink, p.model),
                ("target and bug", p.ink, p.bug),
                ("over and under", p.over, p.under),
                ("bars and paper", p.sample, p.paper),
            ];
            let helped = [
                ("target and tempered", p.ink, p.tempered),
                ("model and tempered", p.model, p.tempered),
                ("bug and tempered", p.bug, p.tempered),
                ("model and bug", p.model, p.bug),
                ("asked and target", p.flow, p.ink),
                ("asked and model", p.flow, p.model),
                ("asked and bug", p.flow, p.bug),
            ];
            let all = alone.map(|pair| (pair, 0.1));
            for ((name, a, b), least) in all.into_iter().chain(helped.map(|pair| (pair, 0.05))) {
                for (eyes, matrix) in EYES {
                    let far = distance(matrix, a, b);
                    println!("{theme}: {name}, {eyes}: {far:.3}");
                    assert!(far >= least, "{theme}: {name} to a {eyes}: {far}");
                }
            }
        }
    }
}
