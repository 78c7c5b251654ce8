//! One reading of a file, so that what is compared is what is parsed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{BadConfiguration, MIB};

/// In bytes.
pub const LARGEST: u64 = 16 * MIB;

/// The text of a file, or why it can't be had.
pub type Text = Result<Arc<str>, BadConfiguration>;

/// A file as it was found. Two that are the same, some time apart, are of a file at rest.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    pub text: Text,
    /// Its size and when it was written.
    stamp: Option<(u64, Option<SystemTime>)>,
}

impl Reading {
    pub fn of(path: &Path) -> Self {
        let (text, found) = match read(path) {
            Ok((bytes, found)) => (text(bytes), Some(found)),
            Err(error) => (Err((None, error.to_string())), None),
        };
        Self {
            text: text.map_err(|(line, reason)| BadConfiguration {
                file: Some(path.to_owned()),
                line,
                field: String::new(),
                reason,
            }),
            stamp: found.map(|found| (found.len(), found.modified().ok())),
        }
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    // Looked at first, because to open a pipe would wait for who writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    (&file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes, file.metadata()?))
}

fn text(bytes: Vec<u8>) -> Result<Arc<str>, (Option<usize>, String)> {
    if bytes.len() as u64 > LARGEST {
        return Err((None, format!("is larger than {} MiB", LARGEST / MIB)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        (Some(line), "is not UTF-8".to_owned())
    })?;
    if text.trim().is_empty() {
        return Err((None, "is empty: perhaps it is being written".to_owned()));
    }
    Ok(text.into())
}
