//! The end: the queue is closed while tasks wait, the workers finish them and leave, and every answer is collected.

use super::*;

#[test]
fn shutdown() {
    explore(2, || {
        let queue = queue(2, 2);
        let completions = Arc::new(Completions::new().unwrap());
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, completions) = (Arc::clone(&queue), Arc::clone(&completions));
                let seat = queue.employ().unwrap();
                thread::spawn(move || {
                    while let Some(taken) = queue.pop(seat) {
                        completions.post(answer(taken.task.ticket));
                    }
                })
            })
            .collect();
        queue.push_all(&mut vec![task(0, 0), task(0, 1)]);
        queue.close();
        let mut sequences = Vec::new();
        let mut results = Vec::new();
        while sequences.len() < 2 {
            completions.collect(&mut results);
            sequences.extend(results.drain(..).map(|result| result.ticket.sequence));
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        sequences.sort_unstable();
        assert_eq!(sequences, [0, 1]);
        assert_eq!(queue.occupancy(), Occupancy { waiting: 0, taken: 0 });
    });
}
