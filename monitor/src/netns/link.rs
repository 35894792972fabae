//! Which interface of the host leads to a network namespace (the host's end of a veth pair).
//!
//! Asked over rtnetlink from the host's namespace: its links name the namespace that their peer is
//! in by an id (`IFLA_LINK_NETNSID`), and `RTM_GETNSID` tells a namespace's id.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::visit;
use crate::procfs::Process;

/// The two ends of a namespace's link to the host; empty names where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkPair {
    /// The end inside, usually `eth0`.
    pub interface: String,
    /// The host's end, such as `veth1a2b3c4`.
    pub host_interface: String,
}

/// A link of the host whose other end is in another namespace.
#[derive(Debug)]
struct HostLink {
    name: String,
    peer_index: u32,
}

/// A netlink socket in the host's namespace.
#[derive(Debug)]
pub(super) struct HostLinks {
    socket: Socket,
    sequence: u32,
}

impl HostLinks {
    /// Opens the socket in the namespace of `init`, process 1.
    pub(super) fn open(init: &Process) -> io::Result<Self> {
        let socket = visit::in_each(&[init], |_| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        })
        .pop()
        .ok_or_else(|| io::Error::other("no visit was made"))??;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// The link of each process's namespace.
    pub(super) fn pairs(&mut self, processes: &[&Process]) -> Vec<LinkPair> {
        let links = self.host_links().unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot list the host's interfaces");
            HashMap::new()
        });
        processes
            .iter()
            .map(|process| {
                self.pair(process, &links)
                    .ok()
                    .flatten()
                    .unwrap_or_else(|| LinkPair {
                        interface: first_interface(process).unwrap_or_default(),
                        host_interface: String::new(),
                    })
            })
            .collect()
    }

    fn pair(
        &mut self,
        process: &Process,
        links: &HashMap<i32, HostLink>,
    ) -> io::Result<Option<LinkPair>> {
        let namespace: OwnedFd = process.open_netns()?;
        let Some(id) = self.namespace_id(&namespace)? else {
            return Ok(None);
        };
        let Some(link) = links.get(&id) else {
            return Ok(None);
        };
        let interface = self.interface_name(id, link.peer_index).unwrap_or_default();
        Ok(Some(LinkPair {
            interface,
            host_interface: link.name.clone(),
        }))
    }

    /// The host's links by the id of the namespace that their peer is in; of several the one with
    /// the lowest index inside, which is the first that was put there. Asking assigns ids.
    fn host_links(&mut self) -> io::Result<HashMap<i32, HostLink>> {
        let mut links: HashMap<i32, HostLink> = HashMap::new();
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.ask(request, NLM_F_DUMP, |message| {
            let RouteNetlinkMessage::NewLink(link) = message else {
                return;
            };
            let (mut name, mut peer_index, mut id) = (None, None, None);
            for attribute in link.attributes {
                match attribute {
                    LinkAttribute::IfName(value) => name = Some(value),
                    LinkAttribute::Link(value) => peer_index = Some(value),
                    LinkAttribute::LinkNetNsId(value) => id = Some(value),
                    _ => {}
                }
            }
            if let (Some(name), Some(peer_index), Some(id)) = (name, peer_index, id) {
                let first = links
                    .get(&id)
                    .is_none_or(|link| peer_index < link.peer_index);
                if first {
                    links.insert(id, HostLink { name, peer_index });
                }
            }
        })?;
        Ok(links)
    }

    fn namespace_id(&mut self, namespace: &OwnedFd) -> io::Result<Option<i32>> {
        let mut request = NsidMessage::default();
        request
            .attributes
            .push(NsidAttribute::Fd(namespace.as_raw_fd() as u32));
        let mut id = None;
        self.ask(RouteNetlinkMessage::GetNsId(request), 0, |message| {
            let RouteNetlinkMessage::NewNsId(answer) = message else {
                return;
            };
            id = answer
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                    _ => None,
                });
        })?;
        Ok(id)
    }

    fn interface_name(&mut self, namespace: i32, index: u32) -> io::Result<String> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        request.attributes.push(LinkAttribute::IfNetnsId(namespace));
        let mut name = String::new();
        self.ask(RouteNetlinkMessage::GetLink(request), 0, |message| {
            let RouteNetlinkMessage::NewLink(link) = message else {
                return;
            };
            name = link
                .attributes
                .into_iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some(name),
                    _ => None,
                })
                .unwrap_or_default();
        })?;
        Ok(name)
    }

    /// Sends a request and hands every answer to `visit`.
    fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        mut visit: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut packet = vec![0; message.buffer_len()];
        message.serialize(&mut packet);
        self.socket.send(&packet, 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                // Messages are padded to four bytes.
                let len = (message.header.length as usize)
                    .next_multiple_of(4)
                    .clamp(4, rest.len());
                rest = &rest[len..];
                if message.header.sequence_number != self.sequence {
                    // The rest of an answer that was given up after an error.
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => visit(inner),
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    _ => {}
                }
                if flags & NLM_F_DUMP == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// The first interface of a namespace other than loopback, from `net/dev`.
fn first_interface(process: &Process) -> io::Result<String> {
    let mut text = Vec::new();
    process.read(c"net/dev", &mut text)?;
    Ok(parse_first_interface(&String::from_utf8_lossy(&text)))
}

fn parse_first_interface(text: &str) -> String {
    text.lines()
        .skip(2)
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .find(|name| *name != "lo")
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::parse_first_interface;

    #[test]
    fn the_first_interface_is_no_loopback() {
        let text = "Inter-|   Receive                    |  Transmit\n \
                    face |bytes    packets errs\n    lo:       0       0\n  eth0: 1 2 3\n";
        assert_eq!(parse_first_interface(text), "eth0");
        assert_eq!(parse_first_interface(""), "");
        assert_eq!(parse_first_interface("a\nb\n    lo: 0 0\n"), "");
    }
}
