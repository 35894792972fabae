//! The judge of socket counts that needs no program: `/proc/<pid>/net/tcp` and `tcp6`, the
//! kernel's own text, read here. It tells what [`ss`](crate::ss) tells, in the same terms.
//!
//! Each read walks the hash of the whole machine: not for a loop that has no end.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::ss::States;

/// Both files, with the family of the sockets in it.
const FILES: [(&str, &str); 2] = [("tcp", "ipv4"), ("tcp6", "ipv6")];
/// The column `tr` of a minisock, and of nothing else: its one timer ends it.
const TIMEWAIT_TIMER: &str = "03";

/// A listener: its port and family, and the length of its accept queue. Its limit is not in these
/// files.
pub type Listener = (u16, &'static str, u64);

/// One line: a socket, a request or a minisock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value of the metric label; a v4-mapped socket's is `ipv6`.
    pub family: &'static str,
    /// Its own port.
    pub local_port: u16,
    /// The other end's port; 0 where there is none.
    pub remote_port: u16,
    /// The value of the metric label, as `ss` would have it: a request is in `syn_recv`, a
    /// minisock in its substate.
    pub state: &'static str,
    /// Bytes that wait to be read; at a listener, connections to be accepted.
    pub receive_queue: u64,
    /// Whether it is what is left of a socket, in TIME_WAIT or FIN_WAIT2, and no socket any more.
    pub minisock: bool,
}

/// Counts the TCP sockets of the network namespace of the process `pid`.
///
/// # Errors
/// When the process is gone, or what it shows can't be read.
pub fn states(pid: u32) -> Result<States> {
    let mut states = States::new();
    each(&folder(pid), |entry| {
        *states.entry((entry.family, entry.state)).or_default() += 1;
    })?;
    Ok(states)
}

/// The listeners, in no particular order.
///
/// # Errors
/// As [`states`].
pub fn listeners(pid: u32) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    each(&folder(pid), |entry| {
        if entry.state == "listen" {
            listeners.push((entry.local_port, entry.family, entry.receive_queue));
        }
    })?;
    Ok(listeners)
}

/// The entry of this family with these ports, local and remote, if there is one.
///
/// # Errors
/// As [`states`].
pub fn find(pid: u32, family: &str, local: u16, remote: u16) -> Result<Option<Entry>> {
    let mut found = None;
    each(&folder(pid), |entry| {
        if (entry.family, entry.local_port, entry.remote_port) == (family, local, remote) {
            found = Some(entry);
        }
    })?;
    Ok(found)
}

fn folder(pid: u32) -> PathBuf {
    format!("/proc/{pid}/net").into()
}

/// Calls `f` with each entry of both files in `folder`.
fn each(folder: &Path, mut f: impl FnMut(Entry)) -> Result<()> {
    for (name, family) in FILES {
        let path = folder.join(name);
        let file = match File::open(&path) {
            // Without IPv6 the second file is not there; without the process, neither.
            Err(error) if error.kind() == ErrorKind::NotFound && family == "ipv6" => {
                let first = folder.join(FILES[0].0);
                std::fs::metadata(&first).with_context(|| format!("can't find {first:?}"))?;
                continue;
            }
            other => other.with_context(|| format!("can't read {path:?}"))?,
        };
        let mut file = BufReader::new(file);
        let mut line = String::new();
        // The first line names the columns.
        file.read_line(&mut line)?;
        loop {
            line.clear();
            if file.read_line(&mut line)? == 0 {
                break;
            }
            let entry = entry(family, &line);
            f(entry.with_context(|| format!("can't read {line:?} of {path:?}"))?);
        }
    }
    Ok(())
}

/// Reads a line such as
/// ` 0: 0100007F:0050 0100007F:D431 06 00000000:00000000 03:00001770 00000000 0 0 0 3 …`.
fn entry(family: &'static str, line: &str) -> Option<Entry> {
    let mut fields = line.split_whitespace().skip(1);
    // Of both addresses only the port matters, of both queues only the second.
    let mut second = || fields.next()?.split_once(':').map(|(_, second)| second);
    let local_port = u16::from_str_radix(second()?, 16).ok()?;
    let remote_port = u16::from_str_radix(second()?, 16).ok()?;
    let state = label(fields.next()?)?;
    let (_, receive_queue) = fields.next()?.split_once(':')?;
    let (timer, _) = fields.next()?.split_once(':')?;
    Some(Entry {
        family,
        local_port,
        remote_port,
        state,
        receive_queue: u64::from_str_radix(receive_queue, 16).ok()?,
        minisock: timer == TIMEWAIT_TIMER,
    })
}

/// The label value for a state as the kernel writes it. The twelfth, of requests, is not among
/// them: the kernel writes the third.
fn label(state: &str) -> Option<&'static str> {
    Some(match state {
        "01" => "established",
        "02" => "syn_sent",
        "03" => "syn_recv",
        "04" => "fin_wait1",
        "05" => "fin_wait2",
        "06" => "time_wait",
        "07" => "close",
        "08" => "close_wait",
        "09" => "last_ack",
        "0A" => "listen",
        "0B" => "closing",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the kernel's format, with what it pads: a listener with three to accept, a socket, a
    /// request, a minisock of each kind.
    const TCP: &str = "  \
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 21437 1 00000000a3ed1d44 100 0 0 10 0                     
   1: 0100007F:A8F6 0100007F:1F90 08 00000000:0000001F 02:000AFD4C 00000000     0        0 21438 2 0000000075a9a7a5 20 0 0 10 -1                     
   2: 0100007F:1F90 0100007F:C350 03 00000000:00000000 01:00000063 00000000     0        0 0 1 0000000013a95d38                                      
   3: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3 000000009b2f9f4c                                      
   4: 0100007F:C352 0100007F:1F90 05 00000000:00000000 03:000005DC 00000000     0        0 0 3 00000000cf9eb2d1                                      
";
    /// The same with longer addresses.
    const TCP6: &str = "  \
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9012 1 00000000c1b2f6a8 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:FFFF 05 00000000:00000000 00:00000000 00000000     0        0 9013 1 000000002bf1f9f5 20 4 0 10 -1
";

    fn entries(tcp: &str, tcp6: Option<&str>) -> Result<Vec<Entry>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("tcp"), tcp)?;
        if let Some(tcp6) = tcp6 {
            std::fs::write(folder.path().join("tcp6"), tcp6)?;
        }
        let mut entries = Vec::new();
        each(folder.path(), |entry| entries.push(entry))?;
        Ok(entries)
    }

    fn made(
        family: &'static str,
        (local_port, remote_port): (u16, u16),
        state: &'static str,
        receive_queue: u64,
        minisock: bool,
    ) -> Entry {
        Entry {
            family,
            local_port,
            remote_port,
            state,
            receive_queue,
            minisock,
        }
    }

    #[test]
    fn reads_every_kind_of_entry() -> Result<()> {
        let mut expected = vec![
            made("ipv4", (8080, 0), "listen", 3, false),
            made("ipv4", (43254, 8080), "close_wait", 31, false),
            made("ipv4", (8080, 50000), "syn_recv", 0, false),
            made("ipv4", (50001, 8080), "time_wait", 0, true),
            made("ipv4", (50002, 8080), "fin_wait2", 0, true),
        ];
        // Without IPv6 there is no second file.
        assert_eq!(entries(TCP, None)?, expected);
        expected.extend([
            made("ipv6", (80, 0), "listen", 0, false),
            made("ipv6", (80, 65535), "fin_wait2", 0, false),
        ]);
        assert_eq!(entries(TCP, Some(TCP6))?, expected);
        Ok(())
    }

    #[test]
    fn knows_every_state_that_the_kernel_writes() {
        let all: Vec<_> = (0..=255)
            .filter_map(|state: u8| label(&format!("{state:02X}")))
            .collect();
        assert_eq!(all.len(), 11);
        assert_eq!((all[0], all[10]), ("established", "closing"));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let with = |line: &str| entries(&format!("header\n{line}\n"), None);
        let whole = "0: 0100007F:0050 0100007F:D431 06 00000000:00000000 03:00001770";
        assert_eq!(with(whole).unwrap().len(), 1);
        for end in [0, 15, 29, 32, 40, 50] {
            assert!(with(&whole[..end]).is_err(), "{:?}", &whole[..end]);
        }
        assert!(with(&whole.replace(" 06 ", " 0C ")).is_err(), "no state");
        assert!(with(&whole.replace("0050", "10050")).is_err(), "no port");
    }

    #[test]
    fn a_process_that_is_gone_is_not_one_without_sockets() {
        // No process has it: the highest id is below 2^22.
        assert!(states(1 << 22).is_err());
        assert!(states(std::process::id()).is_ok());
        // Its end between both files.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tcp6"), TCP6).unwrap();
        assert!(each(folder.path(), drop).is_err());
    }
}
