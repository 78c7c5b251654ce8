//! Tasks on all cores of this machine.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// What a thread says of a task.
enum Said<T> {
    Begins,
    Ended(thread::Result<T>),
}

/// Runs so many tasks on all cores of this machine, and returns their results in order. Calls `begins` when one begins, with
/// its index and the number of those that have ended.
///
/// # Errors
///
/// The first error that a task returns. The tasks that have not begun are left out.
///
/// # Panics
///
/// If a task does.
pub fn in_parallel<T: Send, E: Send>(
    tasks: usize,
    task: impl Fn(usize) -> Result<T, E> + Sync,
    mut begins: impl FnMut(usize, usize),
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.min(tasks) {
            let (sender, next, task) = (sender.clone(), &next, &task);
            scope.spawn(move || {
                loop {
                    // Relaxed: it only hands out each index once.
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    // Nobody receives after an error or a panic.
                    if at >= tasks || sender.send((at, Said::Begins)).is_err() {
                        return;
                    }
                    let result = catch_unwind(AssertUnwindSafe(|| task(at)));
                    let _ = sender.send((at, Said::Ended(result)));
                }
            });
        }
        drop(sender);
        let mut results: Vec<Option<T>> = (0..tasks).map(|_| None).collect();
        let mut ended = 0;
        for (at, said) in receiver {
            match said {
                Said::Begins => begins(at, ended),
                Said::Ended(Ok(result)) => {
                    results[at] = Some(result?);
                    ended += 1;
                }
                Said::Ended(Err(panic)) => resume_unwind(panic),
            }
        }
        Ok(results.into_iter().flatten().collect())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tasks_on_several_threads_have_their_results_in_order() {
        let mut heard = Vec::new();
        let results = in_parallel(
            20,
            |at| Ok::<_, ()>(at * 2),
            |at, ended| {
                assert!(ended <= heard.len());
                heard.push(at);
            },
        );
        assert_eq!(results, Ok((0..20).map(|at| at * 2).collect()));
        heard.sort_unstable();
        assert_eq!(heard, Vec::from_iter(0..20));
        assert_eq!(in_parallel(0, Ok::<usize, ()>, |_, _| {}), Ok(Vec::new()));
    }

    #[test]
    fn an_error_of_a_task_ends_all() {
        let begun = AtomicUsize::new(0);
        let task = |at| {
            begun.fetch_add(1, Ordering::Relaxed);
            match at {
                3 => Err(at),
                _ => {
                    // All together would take minutes.
                    thread::sleep(Duration::from_millis(1));
                    Ok(at)
                }
            }
        };
        assert_eq!(in_parallel(100_000, task, |_, _| {}), Err(3));
        assert!(begun.into_inner() < 100_000);
    }

    #[test]
    fn a_panic_of_a_task_is_passed_on() {
        let panics = |at| match at {
            3 => panic!("task {at}"),
            _ => Ok::<_, ()>(at),
        };
        let panic = catch_unwind(|| in_parallel(20, panics, |_, _| {})).unwrap_err();
        assert_eq!(*panic.downcast::<String>().unwrap(), "task 3");
    }
}
