//! Text of others for a person's terminal or log: what does not print is escaped.
//!
//! A name, a reason, a key may hold anything: orders to a terminal, line breaks that forge a line, marks that turn or
//! hide what stands beside them. Whatever shows text passes it through here, a line at a time.

use std::fmt::Write;

/// A line of text in which whatever does not print is escaped as in Rust, line breaks and tabs as well. What is escaped
/// already stays as it is.
///
/// Members keep results alike that hold such text, so which characters these are is fixed as a format is.
pub fn printable(line: &str) -> String {
    escaped(line, is_hidden, |text, hidden| write!(text, "{}", hidden.escape_unicode()))
}

/// JSON of the same value, in whose strings whatever does not print is escaped as JSON does it. `json` is as an encoder
/// wrote it: line breaks are between its values, and never in its strings.
pub fn printable_json(json: &str) -> String {
    let is_in_string = |c| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t');
    escaped(json, is_in_string, |text, hidden| {
        hidden.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"))
    })
}

fn escaped(
    text: &str,
    is_hidden: impl Fn(char) -> bool,
    escape: impl Fn(&mut String, char) -> std::fmt::Result,
) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) {
            true => escape(&mut shown, c).expect("a string takes any text"),
            false => shown.push(c),
        }
    }
    shown
}

/// Controls; separators of lines; and what has no shape of its own, but may turn the direction of writing or make two
/// names look alike: Unicode's `Default_Ignorable_Code_Point` and marks of annotations.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_orders_hides_or_turns_is_escaped() {
        for (hidden, shown) in [
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("a\nb\r\tc\0", r"a\u{a}b\u{d}\u{9}c\u{0}"),
            ("\u{7f}\u{9b}31m\u{85}", r"\u{7f}\u{9b}31m\u{85}"),
            ("\u{202a}\u{202e}\u{2066}\u{2069}", r"\u{202a}\u{202e}\u{2066}\u{2069}"),
            (
                "\u{200b}\u{200d}\u{200f}\u{2028}\u{2029}\u{2060}",
                r"\u{200b}\u{200d}\u{200f}\u{2028}\u{2029}\u{2060}",
            ),
            ("\u{ad}\u{61c}\u{feff}\u{fff9}\u{e0041}", r"\u{ad}\u{61c}\u{feff}\u{fff9}\u{e0041}"),
        ] {
            assert_eq!(printable(hidden), shown);
            assert_eq!(printable(shown), shown, "it may pass more than once");
        }
    }

    #[test]
    fn what_prints_stays_as_it_is() {
        for text in
            ["", "Küche, straße 7 % `a` \"b\" \\n", "κουζίνα 厨房 كرسي", "\u{1f4a1} \u{fffd} \u{a0}e\u{301}"]
        {
            assert_eq!((&*printable(text), &*printable_json(text)), (text, text));
        }
    }

    #[test]
    fn json_is_escaped_to_the_same_value() {
        let json = "{\n\t\"a\\nb\": \"\u{7f}\u{9b}\u{202e}\u{e0041}é\"\r\n}";
        let shown = "{\n\t\"a\\nb\": \"\\u007f\\u009b\\u202e\\udb40\\udc41é\"\r\n}";
        assert_eq!(printable_json(json), shown);
    }
}
