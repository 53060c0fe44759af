//! What a student has done: the lessons that were started and passed, and when their questions are asked again. It is kept in
//! `quest-progress.toml`, in the folder in which the student works.

mod file;
mod review;

pub use file::{Error, FILE, Kept, Noted, noted};
pub use review::{INTERVALS, Review};

use crate::quests::Quest;
use jiff::{Zoned, civil::Date};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The newest `format_version` of the file that is understood.
pub const FORMAT_VERSION: i64 = 1;

/// Everything in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// [`FORMAT_VERSION`].
    pub format_version: i64,
    /// What was started, the newest last. A quest may stand here more than once, and so may a folder.
    #[serde(rename = "lesson", default, skip_serializing_if = "Vec::is_empty")]
    pub lessons: Vec<Lesson>,
    /// The self-tests, at most one for each quest.
    #[serde(rename = "review", default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Review>,
}

/// One start of a quest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// The id of the quest.
    pub quest: String,
    /// Where the student works on it, seen from the folder of the file.
    pub folder: PathBuf,
    /// When it was started.
    pub started: Date,
    /// When it passed first, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<Date>,
}

/// How far a student is with a quest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// It has passed.
    Passed(&'a Lesson, Date),
    /// It was started.
    Started(&'a Lesson),
    /// It can be started: the quest before it has passed, or there is none.
    Open,
    /// This quest must pass first.
    Closed(&'a str),
}

impl Default for Progress {
    fn default() -> Self {
        Self { format_version: FORMAT_VERSION, lessons: Vec::new(), reviews: Vec::new() }
    }
}

impl Progress {
    /// The first pass of a quest.
    pub fn passed(&self, quest: &str) -> Option<Date> {
        self.of(quest).filter_map(|lesson| lesson.passed).min()
    }

    /// How far the student is with a quest, which `path` holds: all quests in their order.
    pub fn state<'a>(&'a self, quest: &str, path: &'a [Quest]) -> State<'a> {
        let passed = self.of(quest).filter_map(|lesson| Some((lesson, lesson.passed?)));
        if let Some((lesson, date)) = passed.min_by_key(|(_, date)| *date) {
            return State::Passed(lesson, date);
        }
        match (self.of(quest).last(), before(quest, path)) {
            (Some(lesson), _) => State::Started(lesson),
            (None, Some(before)) if self.passed(before).is_none() => State::Closed(before),
            (None, _) => State::Open,
        }
    }

    /// The quest that must pass before this one may be started; `None` if it may.
    pub fn closed_by<'a>(&self, quest: &str, path: &'a [Quest]) -> Option<&'a str> {
        before(quest, path).filter(|before| self.passed(before).is_none())
    }

    /// What comes next: the first quest that has not passed and is not closed.
    pub fn next<'a>(&self, path: &'a [Quest]) -> Option<&'a Quest> {
        path.iter()
            .find(|quest| self.passed(&quest.id).is_none() && self.closed_by(&quest.id, path).is_none())
    }

    /// Notes a start.
    pub fn start(&mut self, quest: &str, folder: &Path, today: Date) {
        let (quest, folder) = (quest.to_owned(), folder.to_owned());
        self.lessons.push(Lesson { quest, folder, started: today, passed: None });
    }

    /// Notes that a quest passed in the folder in which it was started last; a pass that is noted already stays.
    pub fn pass(&mut self, quest: &Quest, folder: &Path, today: Date) {
        let lesson =
            self.lessons.iter_mut().rfind(|lesson| lesson.quest == quest.id && lesson.folder == folder);
        if let Some(lesson) = lesson {
            lesson.passed.get_or_insert(today);
        }
        if !quest.review.is_empty() && !self.reviews.iter().any(|review| review.quest == quest.id) {
            self.reviews.push(Review::first(&quest.id, today));
        }
    }

    /// The newest start in each folder that passed, of the quests before `quest`; the one that passed last comes first.
    pub fn passed_before(&self, quest: &str, path: &[Quest]) -> Vec<&Lesson> {
        let earlier: Vec<&str> =
            path.iter().map(|other| other.id.as_str()).take_while(|id| *id != quest).collect();
        let newest = |at: usize| self.lessons[at + 1..].iter().all(|l| l.folder != self.lessons[at].folder);
        let mut found: Vec<(usize, &Lesson)> = self
            .lessons
            .iter()
            .enumerate()
            .filter(|(at, l)| l.passed.is_some() && newest(*at) && earlier.contains(&l.quest.as_str()))
            .collect();
        found.sort_by_key(|(at, lesson)| (lesson.passed, *at));
        found.into_iter().rev().map(|(_, lesson)| lesson).collect()
    }

    /// The self-test of a quest that has passed.
    pub fn review(&self, quest: &Quest) -> Option<Review> {
        let passed = self.passed(&quest.id).filter(|_| !quest.review.is_empty())?;
        let noted = self.reviews.iter().find(|review| review.quest == quest.id).cloned();
        Some(noted.unwrap_or_else(|| Review::first(&quest.id, passed)))
    }

    /// Notes how far a self-test is.
    pub fn note(&mut self, review: Review) {
        match self.reviews.iter_mut().find(|known| known.quest == review.quest) {
            Some(known) => *known = review,
            None => self.reviews.push(review),
        }
    }

    fn of(&self, quest: &str) -> impl Iterator<Item = &Lesson> {
        self.lessons.iter().filter(move |lesson| lesson.quest == quest)
    }
}

/// The quest before this one.
fn before<'a>(quest: &str, path: &'a [Quest]) -> Option<&'a str> {
    let at = path.iter().position(|other| other.id == quest)?;
    Some(&path[at.checked_sub(1)?].id)
}

/// The date here and now.
pub fn today() -> Date {
    Zoned::now().date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quests::catalogue;
    use jiff::civil::date;

    const FIRST: &str = "01-task-queue";
    const SECOND: &str = "02-worker-pool";
    const THIRD: &str = "03-shutdown";

    #[test]
    fn a_quest_opens_when_the_one_before_it_passed() {
        let path = catalogue().unwrap();
        let mut progress = Progress::default();
        assert_eq!(progress.state(FIRST, &path), State::Open);
        assert_eq!(progress.state(SECOND, &path), State::Closed(FIRST));
        assert_eq!(progress.next(&path).unwrap().id, FIRST);
        progress.start(FIRST, Path::new("q"), date(2026, 3, 1));
        assert!(
            matches!(progress.state(FIRST, &path), State::Started(lesson) if lesson.folder == Path::new("q"))
        );
        assert_eq!(progress.closed_by(SECOND, &path), Some(FIRST));
        progress.pass(&path[0], Path::new("q"), date(2026, 3, 2));
        progress.pass(&path[0], Path::new("q"), date(2026, 3, 9));
        assert!(matches!(progress.state(FIRST, &path), State::Passed(_, day) if day == date(2026, 3, 2)));
        assert_eq!(progress.state(SECOND, &path), State::Open);
        assert_eq!(progress.state(THIRD, &path), State::Closed(SECOND));
        assert_eq!(progress.next(&path).unwrap().id, SECOND);
        assert_eq!(progress.reviews, [Review::first(FIRST, date(2026, 3, 2))]);
    }

    /// A folder that was emptied and started again holds nothing that has passed.
    #[test]
    fn the_newest_pass_comes_first_and_a_new_start_counts_anew() {
        let path = catalogue().unwrap();
        let mut progress = Progress::default();
        for (quest, folder, passed) in [(0, "a", 5), (0, "b", 4), (1, "c", 5), (2, "d", 6), (0, "e", 7)] {
            progress.start(&path[quest].id, Path::new(folder), date(2026, 3, 1));
            progress.pass(&path[quest], Path::new(folder), date(2026, 3, passed));
        }
        progress.start(FIRST, Path::new("e"), date(2026, 3, 8));
        let folders: Vec<_> = progress
            .passed_before(THIRD, &path)
            .iter()
            .map(|lesson| lesson.folder.to_str().unwrap())
            .collect();
        assert_eq!(folders, ["c", "a", "b"]);
        assert!(progress.passed_before(FIRST, &path).is_empty());
    }
}
