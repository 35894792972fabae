//! What is said on the console, for `cargo xtask kernels`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result};
use guest::{Check, Line, Outcome};

/// What a check gives where the kernel does not have what it asks for, instead of an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Absent(pub(crate) String);

/// The report.
#[derive(Debug)]
pub(crate) struct Report(());

impl Report {
    /// Says which kernel this is.
    pub(crate) fn begin() -> Result<Self> {
        let system = rustix::system::uname();
        say(&Line::Kernel {
            release: system.release().to_string_lossy().into_owned(),
            machine: system.machine().to_string_lossy().into_owned(),
        })?;
        Ok(Self(()))
    }

    /// Makes a check and says what came of it.
    pub(crate) fn check(&self, check: Check, act: impl FnOnce() -> Result<String>) {
        say(&Line::Begin(check.id.to_owned())).ok();
        // A check that panics has failed; the others go on.
        let result = catch_unwind(AssertUnwindSafe(act));
        self.say(
            check,
            result.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))),
        );
    }

    /// Says what came of a check that was made together with another one.
    pub(crate) fn say(&self, check: Check, result: Result<String>) {
        let outcome = match result {
            Ok(word) => Outcome::Met(word),
            Err(error) => match error.downcast::<Absent>() {
                Ok(absent) => Outcome::Absent(absent.0),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            },
        };
        let id = check.id.to_owned();
        say(&Line::Check { id, outcome }).ok();
    }

    /// Says that all is said.
    pub(crate) fn end(self) -> Result<()> {
        say(&Line::End)
    }
}

fn say(line: &Line) -> Result<()> {
    println!("{}", line.to_text().context("a line of the report")?);
    Ok(())
}
