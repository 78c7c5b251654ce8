//! One reading of a file, so that what is compared is what is parsed.

use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rcmgr_core::BadConfiguration;

use crate::file::text::{LARGEST, open_regular, text_of, whole};

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
            Err(error) => (Err(whole(error.to_string())), None),
        };
        Self {
            text: text.map_err(|bad| BadConfiguration {
                file: Some(path.to_owned()),
                ..bad
            }),
            stamp: found.map(|found| (found.len(), found.modified().ok())),
        }
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    (&file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes, file.metadata()?))
}

fn text(bytes: Vec<u8>) -> Text {
    let text = text_of(bytes)?;
    if text.trim().is_empty() {
        return Err(whole("it is empty: perhaps it is being written".into()));
    }
    Ok(text.into())
}
