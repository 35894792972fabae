//! RFC 3339 time stamps, as runtimes write them.

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Nanoseconds since the Unix epoch of `2024-05-01T12:34:56.123456789Z` or `…+02:00`. `None` for
/// anything else, and for times before 1970: Go's zero time (year 1) means that there is none.
pub(super) fn parse_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + i64::from(digit - b'0'))
        })
    };
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    if !separated {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // A leap second is written as 60.
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid {
        return None;
    }
    let mut rest = bytes.get(19..)?;
    let mut nanos: i64 = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if length == 0 {
            return None;
        }
        for place in 0..9 {
            let digit = if place < length {
                fraction[place] - b'0'
            } else {
                0
            };
            nanos = nanos * 10 + i64::from(digit);
        }
        rest = &fraction[length..];
    }
    let seconds = days_since_epoch(year, month, day) * DAY + hour * 3600 + minute * 60 + second
        - offset(rest)?;
    u64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(u64::try_from(nanos).ok()?)
}

/// Seconds east of UTC: `Z`, `+hh:mm` or `-hh:mm`.
fn offset(text: &[u8]) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    match *text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = digit(h1)? * 10 + digit(h2)?;
            let minutes = digit(m1)? * 10 + digit(m2)?;
            let seconds = (hours * 60 + minutes) * 60;
            (hours < 24 && minutes < 60).then_some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (negative before it).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let years_before = year - 1;
    let leap_days = years_before / 4 - years_before / 100 + years_before / 400;
    let in_year: i64 = (1..month).map(|earlier| days_in_month(year, earlier)).sum();
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    years_before * 365 + leap_days + in_year + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse_rfc3339;

    #[test]
    fn known_instants() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T23:59:59Z", 951_868_799, 0),
            ("2024-05-01T12:34:56.123456789Z", 1_714_566_896, 123_456_789),
            ("2024-05-01T14:34:56.5+02:00", 1_714_566_896, 500_000_000),
            ("2024-05-01T07:04:56-05:30", 1_714_566_896, 0),
            (
                "2024-05-01t12:34:56.1234567891z",
                1_714_566_896,
                123_456_789,
            ),
            ("2016-12-31T23:59:60Z", 1_483_228_800, 0),
        ] {
            assert_eq!(
                parse_rfc3339(text),
                Some(seconds * 1_000_000_000 + nanos),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2024-05-01",
            "2024-05-01T12:34:56",
            "2024-05-01T12:34:56.Z",
            "2024-13-01T12:34:56Z",
            "2023-02-29T12:34:56Z",
            "2024-05-01T24:34:56Z",
            "2024-05-01T12:34:56+0200",
            "2024-05-01T12:34:56+02:60",
            "2024-05-01T12:34:56Zx",
            "2024-0a-01T12:34:56Z",
            "2024-05-01X12:34:56Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}") {
            let _ = parse_rfc3339(&text);
        }

        #[test]
        fn later_is_greater(days in 0u64..80_000, seconds in 0u64..86_400) {
            // Walk the calendar day by day: independent of the arithmetic under test.
            let (mut year, mut month, mut day) = (1970u32, 1u32, 1u32);
            for _ in 0..days {
                let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
                let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
                    [month as usize - 1];
                day += 1;
                if day > length {
                    day = 1;
                    month += 1;
                }
                if month > 12 {
                    month = 1;
                    year += 1;
                }
            }
            let text = format!(
                "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
                seconds / 3600, seconds / 60 % 60, seconds % 60
            );
            prop_assert_eq!(
                parse_rfc3339(&text),
                Some((days * 86_400 + seconds) * 1_000_000_000)
            );
        }
    }
}
