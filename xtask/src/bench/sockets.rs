//! TCP sockets for the ways to count: connections over the loopback of each namespace.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::netns::Netns;

/// Sockets that are held open.
#[derive(Debug)]
pub(super) struct Held {
    _sockets: Vec<(TcpListener, Vec<(TcpStream, TcpStream)>)>,
}

/// Opens `count` sockets, spread evenly: a listener in each namespace that gets any, and pairs.
///
/// # Errors
/// When there are not so many descriptors to be had.
pub(super) fn hold(namespaces: &[Netns], count: usize) -> Result<Held> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    let pairs = count / 2;
    let share = pairs.div_ceil(namespaces.len());
    let mut left = pairs;
    let mut sockets = Vec::new();
    for netns in namespaces {
        let here = share.min(left);
        left -= here;
        if here == 0 {
            break;
        }
        let held = netns.enter(|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 80))?;
            let pairs = (0..here).map(|_| {
                let client = TcpStream::connect((Ipv4Addr::LOCALHOST, 80))?;
                Ok((client, listener.accept()?.0))
            });
            let pairs = pairs.collect::<Result<Vec<_>>>()?;
            Ok((listener, pairs))
        });
        sockets.push(held.with_context(|| format!("cannot open {count} sockets"))?);
    }
    Ok(Held { _sockets: sockets })
}
