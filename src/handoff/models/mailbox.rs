//! The wake-ups of the event loop: post and collect, pop and read.

use super::*;

/// Every ring stands for an answer, and every answer has been rung for: the collector neither sleeps while an answer
/// lies there, nor wakes for nothing.
#[test]
fn post_and_collect() {
    explore(3, || {
        let completions = Arc::new(Completions::new().unwrap());
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let completions = Arc::clone(&completions);
                thread::spawn(move || {
                    for sequence in 0..=worker {
                        completions.post(answer(task(worker, sequence).ticket));
                    }
                })
            })
            .collect();
        let mut collected = Vec::new();
        let mut results = Vec::new();
        while collected.len() < 3 {
            completions.collect(&mut results);
            assert!(!results.is_empty(), "woken for nothing");
            collected.append(&mut results);
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let mut tickets: Vec<_> =
            collected.iter().map(|result| (result.ticket.connection.0, result.ticket.sequence)).collect();
        assert!(tickets.iter().filter(|ticket| ticket.0 == 1).is_sorted());
        tickets.sort_unstable();
        assert_eq!(tickets, [(0, 0), (1, 0), (1, 1)]);
    });
}

/// The event loop pushes three tasks through a queue for one. Whenever it finds no room it sleeps until the bell rings.
#[test]
fn pop_and_read() {
    explore(1, || {
        let queue = queue(1, 2);
        let completions = Arc::new(Completions::new().unwrap());
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, completions) = (Arc::clone(&queue), Arc::clone(&completions));
                let seat = queue.employ().unwrap();
                thread::spawn(move || {
                    while let Some(taken) = queue.pop(seat) {
                        if taken.made_room {
                            completions.ring();
                        }
                    }
                })
            })
            .collect();
        for sequence in 0..3 {
            while queue.room() == 0 {
                completions.collect(&mut Vec::new());
            }
            let mut batch = vec![task(0, sequence)];
            queue.push_all(&mut batch);
            assert!(batch.is_empty());
        }
        queue.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
