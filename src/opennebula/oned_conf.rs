//! oned.conf: `KEY = value` lines; sections in brackets have keys of their own, which are left out.

/// Keys outside sections with their values, without quotes, in their order.
pub fn values(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut inside = 0_i32;
    text.lines().filter_map(move |line| {
        let line = line.split('#').next().unwrap_or_default();
        let pair = line.split_once('=').filter(|_| inside == 0);
        let count = |bracket: char| i32::try_from(line.matches(bracket).count()).unwrap_or(0);
        inside = (inside + count('[') - count(']')).max(0);
        pair.map(|(key, value)| (key.trim(), value.trim().trim_matches('"').trim()))
    })
}

/// The last value of a key that is a whole number within a range.
#[must_use]
pub fn whole_number(text: &str, key: &str, within: std::ops::RangeInclusive<usize>) -> Option<usize> {
    let of = |(name, value): (&str, &str)| (name == key).then(|| value.parse().ok())?;
    values(text).filter_map(of).filter(|number| within.contains(number)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_sections_and_comments_do_not_count() {
        let text = "MAX_ACTIONS_PER_HOST = 3 # more\nDB = [ BACKEND = \"x\",\n  MAX_ACTIONS_PER_CLUSTER = 7 ]\n\
                    # MAX_ACTIONS_PER_CLUSTER = 8\nMAX_ACTIONS_PER_CLUSTER=\"60\"\nMAX_ACTIONS_PER_CLUSTER = many\n";
        assert_eq!(whole_number(text, "MAX_ACTIONS_PER_HOST", 1..=1000), Some(3));
        assert_eq!(whole_number(text, "MAX_ACTIONS_PER_CLUSTER", 1..=1000), Some(60));
        assert_eq!(whole_number(text, "MAX_ACTIONS_PER_CLUSTER", 1..=10), None);
        assert_eq!(whole_number("", "MAX_ACTIONS_PER_HOST", 1..=10), None);
    }

    #[test]
    fn blanks_and_quotes_are_no_part_of_keys_and_values() {
        let text = "  A  =  \" b \"  # c\n\tD=e\nF = [ G = 1,\n H = [ 2 ] ]\n  I  =\nnothing\nJ = k = l\n";
        let found: Vec<(&str, &str)> = values(text).collect();
        assert_eq!(found, [("A", "b"), ("D", "e"), ("F", "[ G = 1,"), ("I", ""), ("J", "k = l")]);
    }
}
