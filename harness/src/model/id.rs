//! The name of a requirement: a family letter and a number, such as `R4`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The id of a requirement: `R` (required), `Q` (of a task queue alone), `T` (of a test harness), `C` (constraint), `B` (bonus) or
/// `H` (hardening), and its number.
///
/// Ids order by family, then by number, which is the order of every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Id {
    family: char,
    number: u8,
}

impl Id {
    /// The families, in the order of a report.
    pub const FAMILIES: [char; 6] = ['R', 'Q', 'T', 'C', 'B', 'H'];

    /// An id from its parts; `family` is one of [`Id::FAMILIES`]. For the constants of the registry.
    pub const fn new(family: char, number: u8) -> Self {
        Self { family, number }
    }

    /// The family letter.
    pub fn family(self) -> char {
        self.family
    }

    fn rank(self) -> (usize, u8) {
        (Self::FAMILIES.iter().position(|f| *f == self.family).unwrap_or(usize::MAX), self.number)
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.family, self.number)
    }
}

/// A text that is not the id of a requirement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: a letter (R, Q, T, C, B or H) and a number, such as R4")]
pub struct UnknownId(pub String);

impl FromStr for Id {
    type Err = UnknownId;

    /// Reads `R4`, `r4` or ` R4 `.
    fn from_str(text: &str) -> Result<Self, UnknownId> {
        let unknown = || UnknownId(text.to_owned());
        let mut chars = text.trim().chars();
        let family = chars.next().ok_or_else(unknown)?.to_ascii_uppercase();
        let digits = chars.as_str();
        let number = digits.parse::<u8>().map_err(|_| unknown())?;
        if !Self::FAMILIES.contains(&family) || number == 0 || digits.starts_with(['+', '0']) {
            return Err(unknown());
        }
        Ok(Self { family, number })
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = UnknownId;

    fn try_from(text: String) -> Result<Self, UnknownId> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        for text in ["R1", "C5", "B4", "H7", "R12"] {
            assert_eq!(text.parse::<Id>().unwrap().to_string(), text);
        }
        assert_eq!(" r4 ".parse(), Ok(Id::new('R', 4)));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "R", "X1", "R0", "R01", "R-1", "R+1", "4", "R1,R2", "R999"] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_stand_in_the_order_of_a_report() {
        let mut ids: Vec<Id> = ["H1", "B2", "R10", "C1", "R2"].map(|id| id.parse().unwrap()).into();
        ids.sort();
        let texts: Vec<String> = ids.iter().map(Id::to_string).collect();
        assert_eq!(texts, ["R2", "R10", "C1", "B2", "H1"]);
    }
}
