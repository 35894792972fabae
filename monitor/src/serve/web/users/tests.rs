//! Tests of the parent module.

use std::time::Instant;

use serde_saphyr::Spanned;

use super::*;

/// The least cost there is.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn users(given: &[(&str, &str)]) -> Result<Option<Users>, Problem> {
    let yaml = given
        .iter()
        .map(|(name, hash)| {
            let text: Spanned<String> = serde_saphyr::from_str(&format!("\n\n'{hash}'")).unwrap();
            ((*name).to_owned(), text)
        })
        .collect();
    Users::new(yaml)
}

fn field(text: &[u8]) -> HeaderValue {
    HeaderValue::try_from(format!("Basic {}", STANDARD.encode(text))).unwrap()
}

#[tokio::test]
async fn passwords_are_checked_and_what_came_of_it_is_remembered() {
    let users = users(&[("alice", &hash("se:cret")), ("bob", &hash(""))]);
    let users = users.unwrap().unwrap();
    for round in 0..2 {
        for (text, expected) in [
            ("alice:se:cret", Ok(())),
            ("bob:", Ok(())),
            ("alice:secret", Err(Denied::Wrong)),
            ("alice:", Err(Denied::Wrong)),
            ("bob:se:cret", Err(Denied::Wrong)),
            ("Alice:se:cret", Err(Denied::Wrong)),
            // A name that nobody has, with the password of the hash that is checked instead.
            ("carol:se:cret", Err(Denied::Wrong)),
            ("carol:", Err(Denied::Wrong)),
        ] {
            let checked = users.check(Some(&field(text.as_bytes()))).await;
            assert_eq!(checked, expected, "{text} in round {round}");
        }
        let verdicts = users.verdicts();
        assert_eq!(
            (verdicts.right.order.len(), verdicts.wrong.order.len()),
            (2, 6)
        );
    }
}

#[tokio::test]
async fn what_is_no_basic_authorization_is_wrong() {
    let users = users(&[("alice", &hash("x"))]).unwrap().unwrap();
    assert_eq!(users.check(None).await, Err(Denied::Wrong));
    for text in [
        "",
        "Basic",
        "Basic ",
        "Basic !",
        "Basic YWxpY2U=",
        "Bearer YWxpY2U6eA==",
        "Basic /zp4",
    ] {
        let field = HeaderValue::from_static(text);
        assert_eq!(
            users.check(Some(&field)).await,
            Err(Denied::Wrong),
            "{text}"
        );
    }
    let lower = HeaderValue::from_static("basic YWxpY2U6eA==");
    assert_eq!(users.check(Some(&lower)).await, Ok(()));
}

#[tokio::test]
async fn wrong_passwords_do_not_make_the_right_one_be_forgotten() {
    let users = users(&[("alice", &hash("x"))]).unwrap().unwrap();
    assert_eq!(users.check(Some(&field(b"alice:x"))).await, Ok(()));
    for number in 0..REMEMBERED + 10 {
        let text = format!("alice:{number}");
        assert_eq!(
            users.check(Some(&field(text.as_bytes()))).await,
            Err(Denied::Wrong)
        );
    }
    let verdicts = users.verdicts();
    assert_eq!(verdicts.wrong.order.len(), REMEMBERED);
    assert_eq!(verdicts.wrong.digests.len(), REMEMBERED);
    assert_eq!(verdicts.right.order.len(), 1);
}

/// While checks are made nothing else waits, one is made at a time, and few wait for it.
#[tokio::test]
async fn a_flood_of_checks_holds_nobody_up() {
    // A check of some milliseconds, many of which would take long.
    let slow = bcrypt::hash("x", 8).unwrap();
    let users = Arc::new(users(&[("alice", &slow)]).unwrap().unwrap());
    let flood: Vec<_> = (0..200)
        .map(|number| {
            let users = Arc::clone(&users);
            tokio::spawn(async move {
                users
                    .check(Some(&field(format!("alice:{number}").as_bytes())))
                    .await
            })
        })
        .collect();
    let start = Instant::now();
    let mut turns = 0;
    while flood.iter().any(|check| !check.is_finished()) {
        tokio::task::yield_now().await;
        turns += 1;
    }
    let mut busy = 0;
    for check in flood {
        busy += usize::from(check.await.unwrap() == Err(Denied::Busy));
    }
    assert_eq!(busy, 200 - MAX_WAITING);
    assert!(turns > 100, "{turns} turns in {:?}", start.elapsed());
}

#[test]
fn what_is_no_hash_is_named_and_not_shown() {
    for (hash, word) in [
        ("secret", "no bcrypt hash"),
        ("$apr1$abc$def", "no bcrypt hash"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "no bcrypt hash"),
        (
            "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC",
            "no bcrypt hash",
        ),
        (
            "$2y$19$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze",
            "cost of 19",
        ),
        (
            "$2y$03$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze",
            "cost of 3",
        ),
    ] {
        let problem = users(&[("alice", hash)]).unwrap_err();
        assert_eq!(problem.line, Some(3), "{problem}");
        assert!(problem.what.contains("alice"), "{problem}");
        assert!(problem.what.contains(word), "{problem}");
        assert!(!problem.what.contains(hash), "{problem}");
    }
    assert!(users(&[]).unwrap().is_none());
}
