//! Work for several threads: each takes the next piece until there is none, and what happens is told on the calling thread.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// What a lane tells.
pub enum News<'a, T, R> {
    /// This is being done.
    Started(&'a T),
    /// It is done.
    Finished(&'a T, R),
}

/// Does something with each of these, so many at a time, and tells of it on the calling thread.
///
/// # Errors
///
/// The first of `act`, when those that are under way have ended.
pub fn in_lanes<T: Sync, R: Send, E: Send>(
    lanes: usize,
    items: &[T],
    act: impl Fn(&T) -> Result<R, E> + Sync,
    mut on: impl FnMut(News<'_, T, R>),
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, news) = mpsc::channel();
        for _ in 0..lanes.clamp(1, items.len().max(1)) {
            let (sender, next, act) = (sender.clone(), &next, &act);
            scope.spawn(move || {
                while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < items.len())
                {
                    // Nobody listens any more when another lane has failed: then there is nothing left to do.
                    let told = sender.send(Ok((at, None)));
                    let done = told.ok().map(|()| act(&items[at]).map(|result| (at, Some(result))));
                    let failed = done.as_ref().is_none_or(Result::is_err);
                    if done.is_none_or(|done| sender.send(done).is_err()) || failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for message in news {
            match message? {
                (at, None) => on(News::Started(&items[at])),
                (at, Some(result)) => on(News::Finished(&items[at], result)),
            }
        }
        Ok(())
    })
}

/// The same, and what came of each, in their order.
///
/// # Errors
///
/// As [`in_lanes`].
pub fn each<T: Sync, R: Send, E: Send>(
    lanes: usize,
    items: &[T],
    act: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let numbers: Vec<usize> = (0..items.len()).collect();
    let mut results = BTreeMap::new();
    in_lanes(
        lanes,
        &numbers,
        |at| act(&items[*at]),
        |news| {
            if let News::Finished(at, result) = news {
                results.insert(*at, result);
            }
        },
    )?;
    Ok(results.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HarnessError;
    use crate::error::RunError;

    #[test]
    fn lanes_do_everything_once_and_tell_of_it() {
        let items: Vec<u32> = (0..50).collect();
        let (mut started, mut sum) = (0, 0);
        in_lanes(
            3,
            &items,
            |n| Ok::<_, RunError>(n * 2),
            |news| match news {
                News::Started(_) => started += 1,
                News::Finished(n, double) => {
                    assert_eq!(double, n * 2);
                    sum += double;
                }
            },
        )
        .unwrap();
        assert_eq!((started, sum), (50, 50 * 49));
        in_lanes(3, &[], |_: &u32| Ok::<_, RunError>(()), |_| panic!("nothing to tell")).unwrap();
    }

    #[test]
    fn what_came_of_each_is_in_their_order() {
        let (sender, receiver) = mpsc::channel();
        let receiver = std::sync::Mutex::new(receiver);
        // The first ends after the second.
        let act = |n: &u32| match n {
            0 => receiver.lock().unwrap().recv().map(|()| 0),
            n => {
                sender.send(()).unwrap();
                Ok(*n)
            }
        };
        assert_eq!(each(2, &[0, 1], act), Ok(vec![0, 1]));
    }

    #[test]
    fn an_error_ends_all_lanes() {
        let items: Vec<u32> = (0..1000).collect();
        let mut done = 0;
        let act = |n: &u32| match n {
            7 => Err(RunError::from(HarnessError::Broken("seven".into()))),
            n => Ok(*n),
        };
        let result: Result<(), RunError> =
            in_lanes(2, &items, act, |news| done += u32::from(matches!(news, News::Finished(..))));
        assert!(result.unwrap_err().to_string().contains("seven") && done < 1000);
    }
}
