//! A panic inside a check is the harness's own fault: it becomes the verdict `error` of that check, and the others go on.

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

/// What a panic said, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked {
    pub(super) message: String,
    pub(super) place: String,
}

thread_local! {
    /// `Some` while this thread is inside [`caught`]: the hook writes its report there instead of on stderr, where it would
    /// tear the report apart.
    static CATCHING: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// Runs `check`; a panic in it becomes an error. Whatever `check` touched is not used again.
pub(super) fn caught<T>(check: impl FnOnce() -> T) -> Result<T, Panicked> {
    install_hook();
    CATCHING.set(Some(Panicked { message: "a panic without a word".into(), place: String::new() }));
    let result = panic::catch_unwind(AssertUnwindSafe(check));
    let said = CATCHING.take();
    result.map_err(|_| said.expect("it was set above"))
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours =
                CATCHING.with_borrow_mut(|slot| slot.as_mut().map(|slot| *slot = report(info)).is_some());
            if !ours {
                before(info);
            }
        }));
    });
}

fn report(info: &PanicHookInfo<'_>) -> Panicked {
    // The payload of `panic!` is a `&str`, or a `String` when it was formatted.
    let payload = info.payload();
    let words =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    Panicked {
        message: words.unwrap_or("a panic without a word").to_owned(),
        place: info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_through() {
        assert_eq!(caught(|| 7), Ok(7));
    }

    #[test]
    fn a_panic_brings_its_words_and_its_place() {
        let panicked = caught(|| -> () { panic!("{} is odd", 7) }).unwrap_err();
        assert_eq!(panicked.message, "7 is odd");
        assert!(panicked.place.contains("caught.rs:"), "{}", panicked.place);
    }
}
