//! Moments as tables write them: seconds or milliseconds since 1970, or dates such as
//! `2022-01-01T00:00:00Z`. Dates are Gregorian, years 1 to 9999; what names no zone is UTC.

use super::number;

/// Numbers from here on are milliseconds: as seconds they would lie beyond the year 5000,
/// and as milliseconds smaller ones would lie before March 1973.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// And from here on they are nothing.
const NOTHING_FROM: i64 = MILLISECONDS_FROM * 1000;

const DAY: i64 = 86_400;

/// Days of a common year before each month.
const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Days from the first day of year 1 to 1970-01-01.
const EPOCH: i64 = 719_162;

/// Seconds since 1970. A header that promises milliseconds is not believed: copies of
/// the Bitbrains traces hold seconds under it, so the magnitude tells.
pub(super) fn moment(text: &[u8]) -> Option<i64> {
    match number::whole(text) {
        Some(seconds @ 1..MILLISECONDS_FROM) => Some(seconds),
        Some(milliseconds @ MILLISECONDS_FROM..NOTHING_FROM) => Some(milliseconds / 1000),
        Some(_) => None,
        None => date(text),
    }
}

/// `2022-01-01`, `2022-01-01T12:30`, `2022-01-01 12:30:00.5+02:00`. Fractions of a
/// second are dropped. `None` for anything else.
fn date(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, rest @ ..] = text else { return None };
    let day = day_number(two(*y1, *y2)? * 100 + two(*y3, *y4)?, two(*m1, *m2)?, two(*d1, *d2)?)?;
    let time = match rest {
        [] => 0,
        [b'T' | b't' | b' ', clock @ ..] => time_of_day(clock)?,
        _ => return None,
    };
    Some(day * DAY + time)
}

/// `12:30`, `12:30:15`, `12:30:15.25`, each with or without a zone; in UTC, so that it
/// may lie outside the day.
fn time_of_day(text: &[u8]) -> Option<i64> {
    let (minutes, rest) = clock(text)?;
    let (seconds, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2).filter(|s| *s < 60)?, fraction(rest)?),
        rest => (0, rest),
    };
    let offset = match rest {
        [] | [b'Z' | b'z'] => 0,
        [b'+', zone @ ..] => zone_minutes(zone)?,
        [b'-', zone @ ..] => -zone_minutes(zone)?,
        _ => return None,
    };
    Some((minutes - offset) * 60 + seconds)
}

/// The minutes of `12:30`, and what follows.
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hours, minutes) = (two(*h1, *h2)?, two(*m1, *m2)?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes, rest))
}

/// The minutes of `02:00` or `0200`, and nothing after them.
fn zone_minutes(text: &[u8]) -> Option<i64> {
    match *text {
        [h1, h2, m1, m2] => clock(&[h1, h2, b':', m1, m2]).map(|(minutes, _)| minutes),
        [_, _, b':', _, _] => clock(text).map(|(minutes, _)| minutes),
        _ => None,
    }
}

/// What follows `.25`, or the text itself when no fraction is there.
fn fraction(text: &[u8]) -> Option<&[u8]> {
    let [b'.', digits @ ..] = text else { return Some(text) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then(|| &digits[count..])
}

/// Days since 1970-01-01.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let index = usize::try_from(month - 1).ok()?;
    let before = BEFORE_MONTH.get(index)?;
    let after = BEFORE_MONTH.get(index + 1).unwrap_or(&365);
    let length = after - before + i64::from(leap && month == 2);
    if year < 1 || day < 1 || day > length {
        return None;
    }
    let years = year - 1;
    let days = years * 365 + years / 4 - years / 100 + years / 400 + before + i64::from(leap && month > 2);
    Some(days + day - 1 - EPOCH)
}

/// Two digits.
fn two(tens: u8, ones: u8) -> Option<i64> {
    let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        for (text, expected) in [
            ("1376314846", Some(1_376_314_846)),
            ("1376314846123", Some(1_376_314_846)),
            ("1.376314846e9", Some(1_376_314_846)),
            ("2022-01-01T00:00:00Z", Some(1_640_995_200)),
            ("1376314846123456", None),
            ("0", None),
            ("-5", None),
            ("", None),
        ] {
            assert_eq!(moment(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn dates_that_date_1_agrees_with() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2022-01-01T00:00:00Z", 1_640_995_200),
            ("2022-12-31T23:59:59Z", 1_672_531_199),
            ("2024-02-29 00:00", 1_709_164_800),
            ("2024-03-01T00:00:00", 1_709_251_200),
            ("2022-01-01T01:30:00+01:30", 1_640_995_200),
            ("2021-12-31T19:00:00.999-0500", 1_640_995_200),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(date(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn every_day_of_400_years_follows_the_one_before() {
        let mut expected = day_number(1900, 1, 1).unwrap();
        for year in 1900..2300 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(number) = day_number(year, month, day) {
                        assert_eq!(number, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected - day_number(1900, 1, 1).unwrap(), 146_097);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2022",
            "2022-13-01",
            "2022-00-01",
            "2022-02-29",
            "1900-02-29",
            "2022-04-31",
            "2022-01-00",
            "0000-01-01",
            "2022-01-01T",
            "2022-01-01T24:00:00Z",
            "2022-01-01T00:60:00Z",
            "2022-01-01T00:00:60Z",
            "2022-01-01T00:00:00.Z",
            "2022-01-01T00:00:00ZZ",
            "2022-01-01T00:00:00+1",
            "2022-01-01T00:00:00+25:00",
            "2022/01/01",
            "20-2-01-01",
        ] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }
}
