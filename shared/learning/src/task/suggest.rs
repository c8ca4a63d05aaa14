//! Guesses what a mistyped key was meant to be.

/// Words that differ by more than this are not taken for one another.
const MAX_DISTANCE: usize = 3;

/// Reads an error of serde, which quotes the unknown word first and then what it expected, and says which of these
/// was probably meant. `None` when the message is of another kind or nothing comes close.
pub(super) fn hint(message: &str) -> Option<String> {
    if !message.contains("unknown field") && !message.contains("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let (distance, meant) = quoted.map(|word| (distance(unknown, word), word)).min()?;
    (distance <= MAX_DISTANCE && distance < unknown.chars().count())
        .then(|| format!("\nDid you mean `{meant}`?"))
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
