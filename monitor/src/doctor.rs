//! `container-monitor doctor`: what this host offers and what is lost without it, a line each, and
//! whether the monitor answers: the health probe of an image that has no shell.
//!
//! Nothing is loaded or changed: what the kernel takes is found out by `serve`, whose log says it.

mod health;
mod host;
mod tls;

use std::fmt;
use std::process::ExitCode;

use crate::cli::DoctorArgs;
use crate::config::{ConfigError, listen_addresses};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// As it should be.
    Good,
    /// Something is not there, and some numbers with it.
    Lost,
    /// Nothing works like this.
    Bad,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Lost => "lost",
            Self::Bad => "bad",
        }
    }
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    what: &'static str,
    /// What there is, or what is lost without it and the way out.
    found: String,
}

impl Finding {
    fn new(verdict: Verdict, what: &'static str, found: impl Into<String>) -> Self {
        Self {
            verdict,
            what,
            found: found.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.as_str();
        write!(formatter, "{verdict:<4}  {:<16}  {}", self.what, self.found)
    }
}

/// Looks and prints. The exit code is 0 unless nothing can work here; with `--health`, unless the
/// monitor does not answer.
///
/// # Errors
/// An address to listen on is none.
pub fn run(args: &DoctorArgs) -> Result<ExitCode, ConfigError> {
    let addresses = listen_addresses(&args.places.listen_addresses)?;
    let health = health::check(&addresses, args.places.web_file.file.as_deref());
    if args.health {
        if health.verdict == Verdict::Good {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{health}");
        return Ok(ExitCode::FAILURE);
    }
    let mut findings = host::look(&args.places.procfs, &args.places.sysfs);
    // It may not have been started yet; what this host offers is the question.
    let verdict = match health.verdict {
        Verdict::Bad => Verdict::Lost,
        verdict => verdict,
    };
    findings.push(Finding { verdict, ..health });
    for finding in &findings {
        println!("{finding}");
    }
    let is_bad = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Bad);
    Ok(if is_bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
