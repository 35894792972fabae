//! Tests of reading what was counted.

use std::net::{TcpListener, TcpStream};

use super::*;

/// What kernels without batches are read by gives the same.
#[test]
fn reading_one_by_one_gives_what_a_batch_gives() {
    let loaded = Kernel::read(Path::new("/sys"), false)
        .and_then(|kernel| TransitionCounter::load(&kernel, LoadOptions::default()));
    let counter = match loaded {
        Err(error @ (EbpfError::NoBtf { .. } | EbpfError::NotPermitted)) => {
            eprintln!("skipped: {error}");
            return;
        }
        loaded => loaded.unwrap(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let before = counter.read_one_by_one().unwrap();
    let after: std::collections::HashMap<Key, Transitions> =
        counter.read().unwrap().into_iter().collect();
    assert!(!before.is_empty());
    for (key, transitions) in before {
        let later = after[&key];
        assert_eq!(later.inode, transitions.inode);
        // Others' connections go on meanwhile.
        let mut counts = later.counts.iter().zip(transitions.counts);
        assert!(counts.all(|(later, count)| *later >= count), "{key:?}");
    }
}
