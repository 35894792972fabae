//! Who may ask: names with bcrypt hashes of their passwords.
//!
//! A check costs tens of milliseconds of CPU time, on purpose. One at a time is made, on a thread
//! of its own, few wait for it, and what came of it is remembered under a keyed hash.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use ring::hmac;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Problem;
use super::file::{Text, line};

/// The greatest cost of a hash: at 18 a check takes half a minute on a small machine, and whoever
/// asks with a wrong password can make us check.
const MAX_COST: u32 = 18;

/// How many may wait for a check; the next is told to come again.
const MAX_WAITING: usize = 32;

/// How many checks are remembered, of those that went well and of the others each.
const REMEMBERED: usize = 256;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No password, or a wrong one.
    Wrong,
    /// Too many checks are waiting.
    Busy,
}

/// The users.
#[derive(Debug)]
pub(super) struct Users {
    hashes: HashMap<String, Arc<str>>,
    /// What is checked for a name that nobody has, so that it takes as long.
    decoy: Arc<str>,
    key: hmac::Key,
    verdicts: Mutex<Verdicts>,
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Users {
    /// Checks `basic_auth_users`; `None` where there is none, and everybody may ask.
    pub(super) fn new(given: BTreeMap<String, Text>) -> Result<Option<Self>, Problem> {
        let mut hashes = HashMap::new();
        let mut decoy: Option<(u32, Arc<str>)> = None;
        for (name, hash) in given {
            let problem =
                |what: &str| Problem::new(line(&hash), format!("basic_auth_users: {name}: {what}"));
            // The words of the library would show what may be a password in plain text.
            let parts = HashParts::from_str(&hash.value)
                .map_err(|_| problem("is no bcrypt hash (`htpasswd -nBC 10 NAME` makes one)"))?;
            let cost = parts.get_cost();
            if !(4..=MAX_COST).contains(&cost) {
                return Err(problem(&format!(
                    "a bcrypt cost of {cost} is not within 4 and {MAX_COST}"
                )));
            }
            let hash: Arc<str> = hash.value.into();
            if decoy.as_ref().is_none_or(|(highest, _)| *highest < cost) {
                decoy = Some((cost, Arc::clone(&hash)));
            }
            hashes.insert(name, hash);
        }
        let Some((_, decoy)) = decoy else {
            return Ok(None);
        };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
            .map_err(|_| Problem::new(None, "the system gives no random numbers"))?;
        Ok(Some(Self {
            hashes,
            decoy,
            key,
            verdicts: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }))
    }

    /// Checks the value of an `Authorization` field.
    pub(super) async fn check(&self, field: Option<&HeaderValue>) -> Result<(), Denied> {
        let Credentials { name, password } =
            field.and_then(Credentials::parse).ok_or(Denied::Wrong)?;
        let known = self.hashes.get(&name);
        let hash = known.unwrap_or(&self.decoy);
        let digest = self.digest(&[name.as_bytes(), hash.as_bytes(), &password]);
        let remembered = self.verdicts().get(&digest);
        let is_right = match remembered {
            Some(is_right) => is_right,
            None => {
                let matches = self.matches(password, Arc::clone(hash)).await?;
                let is_right = matches && known.is_some();
                self.verdicts().put(digest, is_right);
                is_right
            }
        };
        if is_right { Ok(()) } else { Err(Denied::Wrong) }
    }

    async fn matches(&self, password: Vec<u8>, hash: Arc<str>) -> Result<bool, Denied> {
        let waiting = Arc::clone(&self.waiting);
        let waiting = waiting.try_acquire_owned().map_err(|_| Denied::Busy)?;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(|_| Denied::Busy)?;
        // Both are held to the end, also when whoever asked has gone away.
        let checked = spawn_blocking(move || {
            let matches = bcrypt::verify(&password, &hash).unwrap_or(false);
            drop((turn, waiting));
            matches
        });
        checked.await.map_err(|_| Denied::Busy)
    }

    /// A keyed hash, so that neither what is remembered nor how long a look-up takes tells of a
    /// password.
    fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    fn verdicts(&self) -> std::sync::MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Digest = [u8; 32];

/// What came of earlier checks.
#[derive(Debug, Default)]
struct Verdicts {
    right: Remembered,
    wrong: Remembered,
}

impl Verdicts {
    fn get(&self, digest: &Digest) -> Option<bool> {
        if self.right.digests.contains(digest) {
            Some(true)
        } else {
            self.wrong.digests.contains(digest).then_some(false)
        }
    }

    fn put(&mut self, digest: Digest, is_right: bool) {
        // Apart, so that no number of wrong ones makes the right one be forgotten.
        match is_right {
            true => self.right.put(digest),
            false => self.wrong.put(digest),
        }
    }
}

/// A set that forgets its oldest.
#[derive(Debug, Default)]
struct Remembered {
    digests: HashSet<Digest>,
    order: VecDeque<Digest>,
}

impl Remembered {
    fn put(&mut self, digest: Digest) {
        if !self.digests.insert(digest) {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }
}

/// What a client says of itself (RFC 7617).
struct Credentials {
    name: String,
    password: Vec<u8>,
}

impl Credentials {
    fn parse(field: &HeaderValue) -> Option<Self> {
        let (scheme, encoded) = field.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let mut text = STANDARD.decode(encoded.trim()).ok()?;
        let colon = text.iter().position(|byte| *byte == b':')?;
        let password = text.split_off(colon + 1);
        text.pop();
        let name = String::from_utf8(text).ok()?;
        Some(Self { name, password })
    }
}

#[cfg(test)]
mod tests;
