//! Dates as text.

/// The date of a time in seconds since 1970, in UTC: `2026-11-22`.
pub fn date(unix_time: u64) -> String {
    let mut days = unix_time / 86_400;
    let mut year = 1970;
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

/// The date and the time of day, in UTC: `2026-11-22 14:05:09 UTC`.
pub fn date_and_time(unix_time: u64) -> String {
    let [hours, minutes, seconds] = [3600, 60, 1].map(|unit| unix_time % 86_400 / unit);
    let (minutes, seconds) = (minutes % 60, seconds % 60);
    format!(
        "{} {hours:02}:{minutes:02}:{seconds:02} UTC",
        date(unix_time)
    )
}

fn length(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    365 + u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_795_334_400), "2026-11-22");
        assert_eq!(date(4_107_542_399), "2100-02-28");
        assert_eq!(date(4_107_542_400), "2100-03-01");
        assert_eq!(date_and_time(951_831_549), "2000-02-29 13:39:09 UTC");
    }
}
