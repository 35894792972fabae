//! The command line of the `workload` program. Written by hand: the static program stays small.

use anyhow::{Context, Result, anyhow, bail};

use super::{Where, Work};

/// The subcommands.
pub const USAGE: &str = "\
usage: workload pause
       workload serve WHERE [--backlog N]
       workload connect ADDRESS COUNT [--rate R] [--hold]
       workload churn ADDRESS [--rate R]
       workload leak-close-wait WHERE COUNT
       workload full-accept-queue WHERE BACKLOG
       workload udp PORT COUNT
       workload leaderless WHERE
       workload listen-in PID...
       workload demo-workload KIND
WHERE is a port (of both families) or an address such as 127.0.0.1:80 or [::1]:80";

/// Reads the arguments after the program's name.
pub(super) fn parse(args: impl Iterator<Item = String>) -> Result<Work> {
    let mut args = Arguments {
        rest: args.collect(),
    };
    let work = args.work().with_context(|| USAGE)?;
    match args.rest.first() {
        None => Ok(work),
        Some(extra) => Err(anyhow!("unexpected argument {extra:?}").context(USAGE)),
    }
}

struct Arguments {
    rest: Vec<String>,
}

impl Arguments {
    fn work(&mut self) -> Result<Work> {
        // Options first: what is left is positional.
        let backlog = self.option("--backlog")?;
        let rate = self.option("--rate")?;
        let hold = self.flag("--hold");
        Ok(match self.next::<String>("subcommand")?.as_str() {
            "pause" => Work::Pause,
            "serve" => Work::Serve {
                at: self.next("WHERE")?,
                backlog: backlog.unwrap_or(128),
            },
            "connect" => Work::Connect {
                to: self.next("ADDRESS")?,
                count: self.next("COUNT")?,
                rate: rate.unwrap_or(500),
                hold,
            },
            "churn" => Work::Churn {
                to: self.next("ADDRESS")?,
                rate: rate.unwrap_or(20),
            },
            "leak-close-wait" => Work::LeakCloseWait {
                at: self.next("WHERE")?,
                count: self.next("COUNT")?,
            },
            "full-accept-queue" => Work::FullAcceptQueue {
                at: self.next("WHERE")?,
                backlog: self.next("BACKLOG")?,
            },
            "udp" => Work::Udp {
                port: self.next("PORT")?,
                count: self.next("COUNT")?,
            },
            "leaderless" => Work::Leaderless {
                at: self.next::<Where>("WHERE")?,
            },
            "listen-in" => {
                let mut pids = vec![self.next("PID")?];
                while !self.rest.is_empty() {
                    pids.push(self.next("PID")?);
                }
                Work::ListenIn { pids }
            }
            crate::sweep::SUBCOMMAND => Work::Sweep,
            crate::demo::SUBCOMMAND => Work::Demo(self.next("KIND")?),
            other => bail!("no such subcommand: {other:?}"),
        })
    }

    /// The next positional argument.
    fn next<T>(&mut self, what: &str) -> Result<T>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        if self.rest.is_empty() {
            bail!("missing {what}");
        }
        read(what, &self.rest.remove(0))
    }

    /// Takes `name VALUE` out of the arguments.
    fn option(&mut self, name: &str) -> Result<Option<u32>> {
        let Some(at) = self.rest.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        self.rest.remove(at);
        if at == self.rest.len() {
            bail!("{name} needs a value");
        }
        read(name, &self.rest.remove(at)).map(Some)
    }

    /// Takes `name` out of the arguments, and says whether it was there.
    fn flag(&mut self, name: &str) -> bool {
        let before = self.rest.len();
        self.rest.retain(|arg| arg != name);
        self.rest.len() != before
    }
}

fn read<T>(what: &str, text: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| anyhow!("{what} {text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Work> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_subcommands() -> Result<()> {
        assert_eq!(parsed("pause")?, Work::Pause);
        assert_eq!(
            parsed("serve 80 --backlog 5")?,
            Work::Serve {
                at: Where::Port(80),
                backlog: 5
            }
        );
        assert_eq!(
            parsed("connect [::1]:80 10 --hold")?,
            Work::Connect {
                to: "[::1]:80".parse()?,
                count: 10,
                rate: 500,
                hold: true
            }
        );
        assert_eq!(
            parsed("churn --rate 7 127.0.0.1:80")?,
            Work::Churn {
                to: "127.0.0.1:80".parse()?,
                rate: 7
            }
        );
        Ok(())
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for line in [
            "",
            "fly",
            "pause now",
            "serve",
            "serve x",
            "serve 80 --backlog",
            "connect 127.0.0.1:80",
            "demo-workload none",
        ] {
            let message = format!("{:#}", parsed(line).expect_err(line));
            assert!(message.starts_with("usage:"), "{line}: {message}");
        }
    }
}
