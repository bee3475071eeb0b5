//! Many short races between the same threads.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

/// Runs `race` for each of `subjects` on as many threads as there are: all begin at the same time,
/// and with the next one when all are through. Returns what each thread returned, by subject.
pub(crate) fn run<S: Sync, R: Send>(
    subjects: &[S],
    threads: usize,
    race: impl Fn(usize, &S) -> R + Sync,
) -> Vec<Vec<R>> {
    let arrived = AtomicUsize::new(0);
    let mut results: Vec<Vec<R>> = subjects.iter().map(|_| Vec::new()).collect();
    thread::scope(|scope| {
        let (arrived, race) = (&arrived, &race);
        let runners: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let subjects = subjects.iter().enumerate();
                    let each = |(heat, subject)| {
                        arrived.fetch_add(1, SeqCst);
                        while arrived.load(SeqCst) < (heat + 1) * threads {
                            thread::yield_now();
                        }
                        race(thread, subject)
                    };
                    subjects.map(each).collect::<Vec<R>>()
                })
            })
            .collect();
        for runner in runners {
            for (result, one) in results.iter_mut().zip(runner.join().unwrap()) {
                result.push(one);
            }
        }
    });
    results
}
