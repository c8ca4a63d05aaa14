//! Guesses what a mistyped key was meant to be.

/// Words that differ by more than this are not taken for one another.
const MAX_DISTANCE: usize = 3;

/// Reads an error of serde or toml about an unknown word and says which of the expected ones was probably meant.
/// `None` when the message is of another kind or nothing comes close.
pub(super) fn hint(message: &str) -> Option<String> {
    let (unknown, expected) = quoted(message).or_else(|| listed(message))?;
    let (distance, meant) = expected.into_iter().map(|word| (distance(unknown, word), word)).min()?;
    (distance <= MAX_DISTANCE && distance < unknown.chars().count())
        .then(|| format!("\nDid you mean `{meant}`?"))
}

/// Serde's form: unknown field `a`, expected one of `b`, `c`.
fn quoted(message: &str) -> Option<(&str, Vec<&str>)> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut words = message.split('`').skip(1).step_by(2);
    Some((words.next()?, words.collect()))
}

/// Toml's form, within an enum: unexpected keys in table: a, available keys: b, c.
fn listed(message: &str) -> Option<(&str, Vec<&str>)> {
    let list = message.strip_prefix("unexpected keys in table: ")?;
    let (unknown, available) = list.split_once(", available keys: ")?;
    Some((unknown.split(", ").next()?, available.split(", ").collect()))
}

/// How many letters must be added, removed or exchanged to make `b` of `a` (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_changes() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "lr"), 2);
        assert_eq!(distance("lr", "lr"), 0);
    }

    #[test]
    fn other_errors_get_no_hint() {
        assert_eq!(hint("invalid type: string `a`, expected `b`"), None);
        assert_eq!(hint("unknown field `banana`, expected `lr`"), None);
    }
}
