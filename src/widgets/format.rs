//! Numbers as a reader sees them, and numbers as a reader types them.

use std::ops::RangeInclusive;

/// What stands where a number is not known.
pub const UNKNOWN: &str = "–";

pub use gflownet_tour_core::address::TEMPERATURES;

/// The slider's step.
pub const TEMPERATURE_STEP: f64 = 0.01;

/// `value` with `digits` decimals and a true minus sign; [`UNKNOWN`] if it is not finite.
pub fn fixed(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return UNKNOWN.into();
    }
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        // A negative number that rounds to zero is zero.
        Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.into(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text,
    }
}

/// A share in percent, with `digits` decimals.
pub fn percent(share: f64, digits: usize) -> String {
    format!("{}\u{202f}%", fixed(100.0 * share, digits))
}

/// A whole number with commas between the thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A whole number as an exponent.
pub fn superscript(exponent: i32) -> String {
    exponent
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            // The others stand together, zero before them.
            c => char::from_u32('⁰' as u32 + c.to_digit(10).unwrap_or(0)).unwrap_or(c),
        })
        .collect()
}

/// A probability: in percent, or as a power of ten where percent would have too many zeros.
pub fn chance(probability: f64) -> String {
    if !(probability > 0.0 && probability < 1e-3) {
        return percent(probability, 1);
    }
    let exponent = probability.log10().floor();
    format!(
        "{}\u{202f}·\u{202f}10{}",
        fixed(probability / 10f64.powf(exponent), 1),
        superscript(exponent as i32)
    )
}

/// A duration given in milliseconds, with two or three digits that mean something.
pub fn duration(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() => UNKNOWN.into(),
        ms if ms < 9.95 => format!("{ms:.1}\u{202f}ms"),
        ms if ms < 999.5 => format!("{ms:.0}\u{202f}ms"),
        ms => format!("{:.1}\u{202f}s", ms / 1000.0),
    }
}

/// A mode's place on the axis: as few decimals as it has.
pub fn place(x: f64) -> String {
    let digits = if x.fract() == 0.0 { 0 } else { 1 };
    fixed(x, digits)
}

/// A whole number as a sentence has it: a word if it is small.
pub fn spelled(number: usize) -> String {
    const WORDS: [&str; 10] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];
    WORDS
        .get(number)
        .map_or_else(|| thousands(number as u64), |&word| word.into())
}

/// Words as a sentence lists them: `a, b and c`.
pub fn enumeration(words: &[String]) -> String {
    match words {
        [] => UNKNOWN.into(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What a reader typed into a number's field.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// The number to use, or none when the old one stays.
    pub value: Option<f64>,
    /// What to tell the reader, if the value is not what was typed.
    pub note: Option<String>,
}

/// Reads the field of the number called `name`: numbers beyond `range` come back clamped, anything
/// else leaves the old value, and both say so.
pub fn typed(name: &str, text: &str, range: RangeInclusive<f64>) -> Typed {
    let (lowest, highest) = (*range.start(), *range.end());
    let typed = text.trim().replace(',', ".");
    match typed.parse::<f64>() {
        Ok(value) if range.contains(&value) => Typed {
            value: Some(value),
            note: None,
        },
        Ok(value) if !value.is_nan() => {
            let clamped = value.clamp(lowest, highest);
            Typed {
                value: Some(clamped),
                note: Some(format!(
                    "{name} goes from {lowest} to {highest}: {typed} became {clamped}."
                )),
            }
        }
        _ => Typed {
            value: None,
            note: Some(format!(
                "{name} is a number from {lowest} to {highest}; the last one stays."
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_numbers() {
        for (value, digits, expected) in [
            (0.6529, 3, "0.653"),
            (-2.25, 1, "\u{2212}2.2"),
            (-0.004, 2, "0.00"),
            (f64::NAN, 2, "–"),
            (f64::INFINITY, 0, "–"),
        ] {
            assert_eq!(fixed(value, digits), expected);
        }
        assert_eq!(percent(0.4737, 1), "47.4\u{202f}%");
        for (number, expected) in [(5, "5"), (500, "500"), (2_000, "2,000")] {
            assert_eq!(thousands(number), expected);
        }
        assert_eq!(thousands(1_234_567), "1,234,567");
        for (ms, expected) in [(3.44, "3.4"), (9.96, "10"), (431.8, "432")] {
            assert_eq!(duration(ms), format!("{expected}\u{202f}ms"));
        }
        assert_eq!(duration(6_312.0), "6.3\u{202f}s");
        assert_eq!(place(-3.0), "\u{2212}3");
        assert_eq!(place(0.5), "0.5");
    }

    #[test]
    fn small_chances_are_powers_of_ten() {
        for (probability, expected) in [
            (0.25, "25.0\u{202f}%"),
            (0.0, "0.0\u{202f}%"),
            (4.2e-4, "4.2\u{202f}·\u{202f}10⁻⁴"),
            (1.5e-12, "1.5\u{202f}·\u{202f}10⁻¹²"),
            (7.0e-290, "7.0\u{202f}·\u{202f}10⁻²⁹⁰"),
            (f64::NAN, "–\u{202f}%"),
        ] {
            assert_eq!(chance(probability), expected);
        }
    }

    #[test]
    fn small_numbers_are_words() {
        assert_eq!(spelled(5), "five");
        assert_eq!(spelled(12), "12");
    }

    #[test]
    fn lists_read_as_sentences_have_them() {
        for (words, expected) in [
            (&[][..], "–"),
            (&["a"], "a"),
            (&["a", "b"], "a and b"),
            (&["a", "b", "c"], "a, b and c"),
        ] {
            let words: Vec<String> = words.iter().map(|&w| w.into()).collect();
            assert_eq!(enumeration(&words), expected);
        }
    }

    #[test]
    fn typed_temperatures_are_used_clamped_or_refused_and_it_is_said() {
        let temperature = |text| typed("Temperature", text, TEMPERATURES);
        let good = temperature(" 0.35 ");
        assert_eq!((good.value, good.note), (Some(0.35), None));
        assert_eq!(temperature("0,35").value, Some(0.35));
        for (typed, value) in [("7", 3.0), ("0", 0.05), ("-1", 0.05), ("1e9", 3.0)] {
            let clamped = temperature(typed);
            assert_eq!(clamped.value, Some(value));
            assert!(clamped.note.is_some_and(|note| note.contains(typed)));
        }
        for typed in ["", "warm", "NaN", "1..2"] {
            let refused = temperature(typed);
            assert_eq!(refused.value, None);
            assert!(refused.note.is_some());
        }
    }
}
