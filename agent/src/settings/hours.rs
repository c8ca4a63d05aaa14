//! Hours of a day, such as the night, that may go over midnight.

use std::str::FromStr;

/// From one full hour up to another, local time: `22-6` is from ten in the evening until six in the morning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: u32,
    until: u32,
}

impl Hours {
    /// Whether `hour`, 0 to 23, is one of them.
    pub fn contains(&self, hour: u32) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&hour)
        } else {
            hour >= self.from || hour < self.until
        }
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hour = |text: &str, most| text.trim().parse::<u32>().ok().filter(|hour| *hour <= most);
        let parts = text.split_once('-').and_then(|(from, until)| Some((hour(from, 23)?, hour(until, 24)?)));
        match parts {
            Some((from, until)) if from != until => Ok(Self { from, until }),
            _ => Err("must be two hours such as \"22-6\"".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_go_over_midnight() {
        let within = |text: &str| {
            let hours: Hours = text.parse().unwrap();
            (0..24).filter(|hour| hours.contains(*hour)).collect::<Vec<_>>()
        };
        assert_eq!(within("22-6"), [0, 1, 2, 3, 4, 5, 22, 23]);
        assert_eq!(within("9-12"), [9, 10, 11]);
        assert_eq!(within("22-24"), [22, 23]);
        assert_eq!(within("0-24").len(), 24);
        for wrong in ["", "22", "a-b", "5-5", "24-3", "3-25", "-1-5", "22:00-6:00"] {
            assert!(wrong.parse::<Hours>().is_err(), "{wrong}");
        }
    }
}
