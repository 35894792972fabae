//! What `/proc/<pid>/net/tcp` and `tcp6` show, as this crate reads it, against what `ss` says.

use anyhow::Result;
use testkit::netns::Netns;
use testkit::peer::{Family, Peer, State};
use testkit::{proc_net_tcp, require, ss};

/// The listeners without the limits of their queues, which only `ss` tells.
fn listeners_of_ss(pid: u32) -> Result<Vec<proc_net_tcp::Listener>> {
    let listeners = ss::listeners(pid)?.into_iter();
    let mut without: Vec<_> = listeners
        .map(|(p, family, used, _)| (p, family, used))
        .collect();
    without.sort_unstable();
    Ok(without)
}

fn listeners(pid: u32) -> Result<Vec<proc_net_tcp::Listener>> {
    let mut listeners = proc_net_tcp::listeners(pid)?;
    listeners.sort_unstable();
    Ok(listeners)
}

#[test]
fn all_states_of_all_families_are_what_ss_counts() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"), require::tun());
    let netns = Netns::new("kit-proc-all")?;
    let pid = netns.pid();
    assert_eq!(proc_net_tcp::states(pid)?, ss::States::new());
    let peer = Peer::new(&netns)?;
    let mut held = Vec::new();
    for family in Family::ALL {
        for (number, state) in State::ALL.into_iter().enumerate() {
            held.push(peer.hold_many(family, state, 1 + number % 3)?);
            let seen = proc_net_tcp::states(pid)?;
            assert_eq!(seen, ss::states(pid)?, "{family:?} {state:?}");
        }
    }
    // Ten states of two families, of which no two have two names.
    assert_eq!(proc_net_tcp::states(pid)?.len(), 20);
    assert_eq!(listeners(pid)?, listeners_of_ss(pid)?);
    Ok(())
}

#[test]
fn minisocks_are_told_from_sockets() -> Result<()> {
    testkit::require!(require::root(), require::tun());
    let netns = Netns::new("kit-proc-mini")?;
    let peer = Peer::new(&netns)?;
    for family in Family::ALL {
        for (state, minisock) in [
            (State::FinWait2, false),
            (State::FinWait2Closed, true),
            (State::TimeWait, true),
            (State::Established, false),
        ] {
            let held = peer.hold(family, state)?;
            let ports = held.ports();
            let (local, remote) = ports[0];
            let found = proc_net_tcp::find(netns.pid(), family.label(), local, remote)?;
            let found = found.map(|entry| (entry.state, entry.minisock));
            assert_eq!(found, Some((state.label(), minisock)), "{family:?}");
            let other = if family == Family::V4 { "ipv6" } else { "ipv4" };
            assert_eq!(proc_net_tcp::find(netns.pid(), other, local, remote)?, None);
        }
    }
    Ok(())
}

#[test]
fn an_accept_queue_is_as_long_as_ss_says() -> Result<()> {
    use testkit::workload::Where;
    testkit::require!(require::root(), require::program("ss"));
    let netns = Netns::new("kit-proc-queue")?;
    let pid = netns.pid();
    let _sockets = netns.enter(|| {
        let both = Where::Port(80).listen(7)?;
        let v4 = Where::Address("127.0.0.1:82".parse()?).listen(9)?;
        let to = ["[::1]:80", "127.0.0.1:80", "127.0.0.1:82"];
        let connect = |to: &str| Ok(std::net::TcpStream::connect(to)?);
        let clients = to.into_iter().map(connect).collect::<Result<Vec<_>>>()?;
        Ok((both, v4, clients))
    })?;
    // The last acknowledgement may still be under way.
    let queues = [(80, "ipv6", 2), (82, "ipv4", 1)];
    testkit::wait::until("queues", std::time::Duration::from_secs(5), || {
        Ok((listeners(pid)? == queues).then_some(()))
    })?;
    assert_eq!(listeners_of_ss(pid)?, queues);
    assert_eq!(proc_net_tcp::states(pid)?, ss::states(pid)?);
    Ok(())
}
