use super::Report;
pub fn write(_: &Report) -> String {
    String::new()
}
