//! Who makes room for whom.

use hyper::body::Bytes;

use super::*;

/// A quarter of what may wait.
fn quarter(samples: u64) -> Batch {
    Batch {
        body: Bytes::from(vec![0; MAX_WAITING / 4]),
        samples,
    }
}

fn waiting(queue: &Queue) -> Vec<u64> {
    let batches = queue.batches.iter();
    batches.map(|(_, batch)| batch.samples).collect()
}

#[test]
fn the_newest_are_kept() {
    let mut queue = Queue::default();
    let given_up: Vec<u64> = (0..6)
        .map(|samples| queue.push(vec![quarter(samples)]))
        .collect();
    assert_eq!(given_up, [0, 0, 0, 0, 0, 1]);
    assert_eq!(waiting(&queue), [2, 3, 4, 5]);
}

#[test]
fn a_collection_makes_room_for_another_and_not_for_itself() {
    let mut queue = Queue::default();
    let large = |first: u64| (first..first + 6).map(quarter).collect();
    assert_eq!(queue.push(large(1)), 0);
    assert_eq!(waiting(&queue), [1, 2, 3, 4, 5, 6]);
    assert_eq!(queue.push(large(7)), 1 + 2 + 3 + 4 + 5 + 6);
    assert_eq!(waiting(&queue), [7, 8, 9, 10, 11, 12]);
    assert_eq!(queue.push(vec![quarter(13)]), 7 + 8 + 9);
    assert_eq!(waiting(&queue), [10, 11, 12, 13]);
}

#[test]
fn what_could_not_be_sent_comes_first_or_goes_first() {
    let mut queue = Queue::default();
    queue.push(vec![quarter(1), quarter(2)]);
    let first = queue.pop().unwrap();
    assert_eq!(queue.push_back(first), 0);
    assert_eq!(waiting(&queue), [1, 2]);
    let first = queue.pop().unwrap();
    queue.push(vec![quarter(3), quarter(4), quarter(5)]);
    assert_eq!(queue.push_back(first), 1);
    assert_eq!(waiting(&queue), [2, 3, 4, 5]);
}
