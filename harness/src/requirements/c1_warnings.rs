//! C1: C sources compile with the exact command of the contract, in which a warning is an error.

use super::{Context, Requirement};
use crate::{
    error::Trouble,
    model::{Finding, Id},
    submission::Program,
};
use std::collections::BTreeSet;

/// C1.
pub struct Warnings;

/// So many places are named; the rest is counted.
const SHOWN_PLACES: usize = 4;
/// So much of a message is shown, in characters.
const SHOWN_CHARS: usize = 200;

/// What was seen of the build.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Observation {
    /// There is no C to build.
    NoC(&'static str),
    /// The command succeeded.
    Clean { command: String },
    /// It failed, and the program could be built only without minding warnings.
    Warned { command: String, warnings: Vec<Warning>, cut: bool, last_words: String },
}

/// A warning that `-Werror` made an error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Warning {
    /// `file.c:12`; empty where the compiler names no place.
    place: String,
    /// Its words.
    message: String,
    /// The option that asks for it, such as `unused-variable`; empty for a warning that has none.
    option: String,
}

impl Requirement for Warnings {
    fn id(&self) -> Id {
        Id::new('C', 1)
    }

    fn title(&self) -> &'static str {
        "C sources compile with gcc -Wall -Wextra -Werror -pthread"
    }

    fn about(&self) -> &'static str {
        "The C sources of the folder compile with `gcc -Wall -Wextra -Werror -pthread -o pool_server *.c`: without a single \
         warning.\n\n\
         Looked at: the build itself, with exactly these options and -g, which brings the line numbers that the evidence \
         shows. Where it fails, the same sources are built once more with warnings off, so that everything else can still \
         be checked; sources that do not compile even then are no submission, and nothing is checked.\n\n\
         Decides: whether the exact command succeeded. A Cargo package and an executable hold no C sources to compile; they \
         pass."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        Ok(judge(&observe(context.program)))
    }
}

fn observe(program: &Program) -> Observation {
    let Some(build) = program.exact_build() else {
        return Observation::NoC(match program.source_folder() {
            Some(_) => "a Cargo package",
            None => "an executable",
        });
    };
    let command = build.command().to_owned();
    match build.complaints() {
        None => Observation::Clean { command },
        Some(words) => Observation::Warned {
            command,
            warnings: warnings(words),
            cut: build.is_cut(),
            last_words: words.lines().next_back().unwrap_or_default().to_owned(),
        },
    }
}

fn judge(observation: &Observation) -> Finding {
    let without = |command: &str| format!("{command} succeeds, without a warning");
    match observation {
        Observation::NoC(kind) => Finding::pass(
            "C sources compile with gcc -Wall -Wextra -Werror -pthread",
            format!("no C sources, but {kind}: there is nothing to compile with gcc"),
        ),
        Observation::Clean { command } => {
            Finding::pass(without(command), "so it did, with not a single warning")
        }
        Observation::Warned { command, warnings, cut, last_words } => match warnings.first() {
            Some(first) => Finding::fail(
                without(command),
                observed(warnings.len(), first, *cut),
                places(warnings),
                hint(&first.option),
            ),
            // A compiler that was killed, say, and then was not.
            None => Finding::inconclusive(
                without(command),
                format!(
                    "it failed without a warning, and succeeded with warnings off: {}",
                    shown(last_words)
                ),
                "",
                "run the check again; if it stays so, run the command by hand in your folder",
            ),
        },
    }
}

fn observed(count: usize, first: &Warning, cut: bool) -> String {
    let least = if cut { "at least " } else { "" };
    let option = match first.option.as_str() {
        "" => String::new(),
        option => format!(" [-W{option}]"),
    };
    let words = format!("{}{option}", shown(&first.message));
    match count {
        1 if !cut => format!("1 warning: {words}"),
        _ => format!("{least}{count} warnings; the first: {words}"),
    }
}

fn places(warnings: &[Warning]) -> String {
    let mut places: Vec<&str> = Vec::new();
    for warning in warnings {
        if !warning.place.is_empty() && !places.contains(&warning.place.as_str()) {
            places.push(&warning.place);
        }
        if places.len() > SHOWN_PLACES {
            break;
        }
    }
    let more = places.len() > SHOWN_PLACES;
    places.truncate(SHOWN_PLACES);
    places.join(", ") + if more { " and others" } else { "" }
}

/// What a teacher would say to the first warning.
fn hint(option: &str) -> &'static str {
    match option.split('=').next().unwrap_or_default() {
        "unused-variable"
        | "unused-but-set-variable"
        | "unused-function"
        | "unused-value"
        | "unused-label" => "delete what nobody uses; if it should be used, the missing use is the mistake",
        "unused-parameter" | "unused-but-set-parameter" => {
            "if the signature is not yours to choose (a thread's void *, a signal's number), write (void)name; in the body; \
             else take the parameter away"
        }
        "unused-result" => "the call can fail: look at what it returns",
        "sign-compare" => {
            "a negative value becomes a huge one when it is compared with an unsigned one: test for the error first, then \
             compare values of one type"
        }
        "implicit-fallthrough" => {
            "a break is missing, or the fall is meant: then say so with __attribute__((fallthrough));"
        }
        "implicit-function-declaration" | "implicit-int" => {
            "include the header that declares it (its manual page names it), or declare it yourself before its first use; a \
             feature macro such as _GNU_SOURCE must stand before the first include"
        }
        "maybe-uninitialized" | "uninitialized" => {
            "on some path it is read before anything was put into it: follow them all"
        }
        "return-type" => "not every path through the function returns a value",
        "format" | "format-extra-args" | "format-security" => {
            "the conversion and the argument differ in type: size_t is %zu, ssize_t is %zd, and int64_t wants PRId64"
        }
        "missing-field-initializers" => {
            "name the fields you mean (.field = value) or begin with {0}: then the others are zero and gcc knows that you know"
        }
        "parentheses" | "dangling-else" | "misleading-indentation" | "empty-body" => {
            "the compiler reads it otherwise than it looks: set the braces or parentheses that say what you mean"
        }
        "int-conversion"
        | "incompatible-pointer-types"
        | "int-to-pointer-cast"
        | "pointer-to-int-cast"
        | "discarded-qualifiers" => {
            "the two types do not fit: change the type where it is declared rather than cast"
        }
        _ => {
            "build it with exactly this command in your folder, and begin with the first warning: it often makes the others"
        }
    }
}

/// One line of a compiler, bounded.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() { short + "..." } else { short }
}

/// The warnings among a compiler's words, each once, in their order.
///
/// A line of gcc with `-Werror` reads `FILE:LINE:COLUMN: error: MESSAGE [-Werror=OPTION]`, or `[-Werror]` for a warning without
/// an option of its own.
fn warnings(words: &str) -> Vec<Warning> {
    let mut seen = BTreeSet::new();
    words.lines().filter_map(warning).filter(|warning| seen.insert(warning.clone())).collect()
}

fn warning(line: &str) -> Option<Warning> {
    let (place, rest) = line.split_once(": error: ")?;
    let (message, option) = rest.trim_end().strip_suffix(']')?.rsplit_once(" [-Werror")?;
    if !option.is_empty() && !option.starts_with('=') {
        return None;
    }
    Some(Warning {
        place: without_column(place),
        message: message.to_owned(),
        option: option.trim_start_matches('=').to_owned(),
    })
}

/// `a.c:12:5` as `a.c:12`; the name of a program (`cc1`) is no place.
fn without_column(place: &str) -> String {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match place.rsplit_once(':') {
        Some((line, column)) if number(column) => match line.rsplit_once(':') {
            Some((_, last)) if number(last) => line.to_owned(),
            _ => place.to_owned(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;

    const WORDS: &str = "\
a.c: In function 'f':
a.c:3:11: error: unused parameter 'n' [-Werror=unused-parameter]
    3 | int f(int n) { return 1; } // b.c:1:1: error: no [-Werror=none]x
      |       ~~~~^
In file included from a.c:1:
x.h:9:1: error: this statement may fall through [-Werror=implicit-fallthrough=]
x.h:9:1: error: this statement may fall through [-Werror=implicit-fallthrough=]
x.h:9:1: note: here
a.c:12:5: error: format '%d' expects argument of type 'int', but ] is 'long int' [-Werror=format=]
a.c:14: error: \"X\" redefined [-Werror]
cc1: error: something of the compiler's [-Werror=other]
cc1: all warnings being treated as errors
";

    fn warned(words: &str, cut: bool) -> Finding {
        judge(&Observation::Warned {
            command: "gcc -Werror *.c".into(),
            warnings: warnings(words),
            cut,
            last_words: words.lines().next_back().unwrap_or_default().into(),
        })
    }

    #[test]
    fn every_form_of_warning_is_read_once() {
        let found: Vec<_> = warnings(WORDS).into_iter().map(|w| (w.place, w.option)).collect();
        let expected = [
            ("a.c:3", "unused-parameter"),
            ("x.h:9", "implicit-fallthrough="),
            ("a.c:12", "format="),
            ("a.c:14", ""),
            ("", "other"),
        ];
        assert_eq!(found, expected.map(|(place, option)| (place.to_owned(), option.to_owned())));
    }

    #[test]
    fn a_warning_fails_with_the_first_in_the_compilers_words() {
        let finding = warned(WORDS, false);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert_eq!(finding.observed, "5 warnings; the first: unused parameter 'n' [-Wunused-parameter]");
        assert_eq!(finding.place, "a.c:3, x.h:9, a.c:12, a.c:14");
        assert!(finding.expected.starts_with("gcc -Werror *.c succeeds"), "{}", finding.expected);
        assert!(finding.hint.contains("(void)name"), "{}", finding.hint);
        let one = warned("a.c:1:2: error: x \u{fffd} [-Werror=cpp]\n", false);
        assert_eq!((one.observed.as_str(), one.place.as_str()), ("1 warning: x \u{fffd} [-Wcpp]", "a.c:1"));
    }

    #[test]
    fn an_avalanche_is_counted_and_not_shown() {
        let words: String =
            (1..5000).map(|n| format!("a.c:{n}:1: error: {} [-Werror=x]\n", "y".repeat(999))).collect();
        let finding = warned(&words, true);
        assert!(
            finding.observed.starts_with("at least 4999 warnings; the first: yyy"),
            "{}",
            finding.observed
        );
        assert_eq!(finding.place, "a.c:1, a.c:2, a.c:3, a.c:4 and others");
        assert!(finding.observed.len() < 300);
    }

    #[test]
    fn what_fails_without_a_warning_is_not_blamed_on_anybody() {
        let finding = warned("gcc: fatal error: Killed signal terminated program cc1\n", false);
        assert_eq!(finding.outcome, Outcome::Inconclusive);
        assert!(finding.observed.contains("Killed signal"), "{}", finding.observed);
    }

    #[test]
    fn a_clean_build_passes_and_so_does_what_holds_no_c() {
        let clean = judge(&Observation::Clean { command: "gcc -Wall".into() });
        assert_eq!(
            (clean.outcome, clean.observed.as_str()),
            (Outcome::Pass, "so it did, with not a single warning")
        );
        let none = judge(&Observation::NoC("a Cargo package"));
        assert_eq!(none.outcome, Outcome::Pass);
        assert!(none.observed.starts_with("no C sources"), "{}", none.observed);
    }
}
