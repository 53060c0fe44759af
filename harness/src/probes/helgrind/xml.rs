//! Helgrind's report: Valgrind's XML output, protocol 4.

use crate::error::HarnessError;
use serde::Deserialize;

/// One error: a data race or a misuse of the pthread API, with how often it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Race {
    /// Helgrind's kind: `Race`, `UnlockUnlocked`, `LockOrder`, `Misc`, ...
    pub kind: String,
    /// The accesses (or the call) that it is about; the first is the one at which it was noticed.
    pub accesses: Vec<Access>,
    /// What is known of the address: the variable, or the block and who allocated it.
    pub about: Vec<String>,
    /// How often it was seen.
    pub count: u64,
}

/// One of the two sides of a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Helgrind's sentence.
    pub what: String,
    /// The stack, innermost first.
    pub stack: Vec<Frame>,
}

/// A place in a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Frame {
    /// The function.
    #[serde(rename = "fn")]
    pub function: Option<String>,
    /// The source file's name.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The object file.
    pub obj: Option<String>,
}

impl Frame {
    /// Whether this is the program's own code rather than the tool's or the C library's.
    fn is_own(&self) -> bool {
        let object = self.obj.as_deref().unwrap_or_default();
        !object.contains("vgpreload")
            && !object.contains("/libc.so")
            && !object.contains("/libpthread")
            && !object.contains("/ld-linux")
    }
}

impl Access {
    fn own(&self) -> Option<&Frame> {
        self.stack.iter().find(|frame| frame.is_own())
    }

    /// The file and the line of that place.
    pub fn line(&self) -> Option<(&str, u32)> {
        let frame = self.own()?;
        Some((frame.file.as_deref()?, frame.line?))
    }

    /// `file.c:12 (function)` of the innermost place in the program's own code.
    pub fn place(&self) -> Option<String> {
        let frame = self.own()?;
        match (&frame.file, frame.line, &frame.function) {
            (Some(file), Some(line), Some(function)) => Some(format!("{file}:{line} ({function})")),
            (Some(file), Some(line), None) => Some(format!("{file}:{line}")),
            (_, _, Some(function)) => Some(format!("{function} (no line known: no debug information)")),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    error: Vec<ErrorElement>,
    #[serde(default)]
    errorcounts: Vec<ErrorCounts>,
}

#[derive(Default, Deserialize)]
struct ErrorCounts {
    #[serde(default)]
    pair: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    count: u64,
    unique: String,
}

#[derive(Deserialize)]
struct ErrorElement {
    unique: String,
    kind: String,
    #[serde(rename = "$value", default)]
    parts: Vec<Part>,
}

/// The parts of an error in their order: a sentence, then the stack that belongs to it.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    What(String),
    XWhat(Text),
    AuxWhat(String),
    XAuxWhat(Text),
    Stack(Stack),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Stack {
    #[serde(default)]
    frame: Vec<Frame>,
}

/// Reads a report. Of one that is not finished yet, all complete errors are read.
///
/// # Errors
///
/// When it is not the XML that Valgrind writes.
pub fn races(text: &str) -> Result<Vec<Race>, HarnessError> {
    const END: &str = "</valgrindoutput>";
    let whole = if text.contains(END) {
        text.to_owned()
    } else {
        // Errors come one by one, each complete; what is missing is the end.
        let complete = text.rfind("</error>").map_or(text, |at| &text[..at + "</error>".len()]);
        let complete = if complete.contains("<error>") { complete } else { text };
        format!("{complete}{END}")
    };
    let output: Output = quick_xml::de::from_str(&whole)
        .map_err(|e| HarnessError::Broken(format!("Helgrind's report cannot be read: {e}")))?;
    // The counts are printed several times; the last is the final one.
    let counts = output.errorcounts.last();
    let count = |unique: &str| {
        counts.and_then(|c| c.pair.iter().find(|pair| pair.unique == unique)).map_or(1, |pair| pair.count)
    };
    Ok(output
        .error
        .into_iter()
        .map(|error| Race { count: count(&error.unique), ..race(error.kind, error.parts) })
        .collect())
}

fn race(kind: String, parts: Vec<Part>) -> Race {
    let mut race = Race { kind, accesses: Vec::new(), about: Vec::new(), count: 1 };
    let mut sentence = None;
    for part in parts {
        match part {
            Part::What(text)
            | Part::XWhat(Text { text })
            | Part::AuxWhat(text)
            | Part::XAuxWhat(Text { text }) => {
                race.about.extend(sentence.replace(text));
            }
            Part::Stack(stack) => {
                let what = sentence.take().unwrap_or_default();
                race.accesses.push(Access { what, stack: stack.frame });
            }
            Part::Other => {}
        }
    }
    race.about.extend(sentence);
    race
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0"?>
<valgrindoutput>
<protocolversion>4</protocolversion>
<preamble><line>Helgrind, a thread error detector</line></preamble>
<status><state>RUNNING</state><time>0</time></status>
<announcethread><hthreadid>2</hthreadid><stack><frame><ip>0x1</ip><fn>clone</fn></frame></stack></announcethread>
<error>
  <unique>0x0</unique>
  <tid>3</tid>
  <kind>Race</kind>
  <xwhat><text>Possible data race during read of size 4 at 0x10C060 by thread #3</text><hthreadid>3</hthreadid></xwhat>
  <stack>
    <frame><ip>0x1</ip><obj>/usr/libexec/valgrind/vgpreload_helgrind-amd64-linux.so</obj></frame>
    <frame><ip>0x2</ip><obj>/tmp/r</obj><fn>count</fn><dir>/tmp</dir><file>r.c</file><line>4</line></frame>
  </stack>
  <xauxwhat><text>This conflicts with a previous write of size 4 by thread #2</text><hthreadid>2</hthreadid></xauxwhat>
  <stack><frame><ip>0x3</ip><obj>/tmp/r</obj><fn>count</fn><file>r.c</file><line>9</line></frame></stack>
  <auxwhat>Address 0x10c060 is 0 bytes inside data symbol "counter"</auxwhat>
</error>
<status><state>FINISHED</state><time>1</time></status>
<errorcounts><pair><count>5</count><unique>0x0</unique></pair></errorcounts>
<suppcounts><pair><count>46</count><name>helgrind-glibc2X-005</name></pair></suppcounts>
</valgrindoutput>"#;

    #[test]
    fn both_sides_of_a_race_and_its_variable_are_read() {
        let races = races(REPORT).unwrap();
        assert_eq!(races.len(), 1);
        let race = &races[0];
        assert_eq!((race.kind.as_str(), race.count), ("Race", 5));
        assert_eq!(race.accesses[0].place().unwrap(), "r.c:4 (count)");
        assert_eq!(race.accesses[1].place().unwrap(), "r.c:9 (count)");
        assert!(race.accesses[1].what.starts_with("This conflicts with a previous write"));
        assert!(race.about[0].contains("data symbol \"counter\""));
    }

    #[test]
    fn a_report_without_an_end_is_read_as_far_as_it_goes() {
        let cut = &REPORT[..REPORT.find("<status><state>FINISHED").unwrap()];
        assert_eq!(races(cut).unwrap().len(), 1);
        let one_and_a_half = format!("{cut}<error><unique>0x1</unique><kind>Race</kind><stack><frame>");
        assert_eq!(races(&one_and_a_half).unwrap().len(), 1);
        assert_eq!(races(&REPORT[..REPORT.find("<announcethread>").unwrap()]).unwrap(), []);
        assert!(races("valgrind: command line error").is_err());
    }

    #[test]
    fn nothing_found_is_an_empty_list() {
        let clean = "<valgrindoutput><status><state>FINISHED</state></status><errorcounts></errorcounts></valgrindoutput>";
        assert_eq!(races(clean).unwrap(), []);
    }
}
