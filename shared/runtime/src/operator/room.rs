//! How many newcomers a peer set still takes.

use serde::{Deserialize, Serialize};

/// How many members there are and may be, and how many more are invited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Members.
    pub members: u32,
    /// As many as there may be.
    pub max_members: u32,
    /// Newcomers that the tokens admit which have not expired.
    pub invited: u32,
}

impl Room {
    /// How many more members fit.
    pub fn left(self) -> u32 {
        self.max_members.saturating_sub(self.members)
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { members, max_members, invited } = self;
        write!(
            f,
            "the peer set has {members} of at most {max_members} members, and its tokens admit {invited} more"
        )?;
        match self.left() {
            left if left >= *invited => Ok(()),
            0 => write!(f, ": none of them fits before a member is removed"),
            left => {
                write!(f, ": the first {left} of them fit, the others are refused until members are removed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn what_does_not_fit_is_said() {
        let room = |members, invited| Room { members, max_members: 15, invited }.to_string();
        assert_eq!(room(3, 12), "the peer set has 3 of at most 15 members, and its tokens admit 12 more");
        assert!(
            room(3, 13)
                .ends_with(": the first 12 of them fit, the others are refused until members are removed")
        );
        assert!(room(15, 1).ends_with(": none of them fits before a member is removed"));
        assert_eq!(Room { members: 9, max_members: 7, invited: 0 }.left(), 0, "a state of another program");
    }
}
