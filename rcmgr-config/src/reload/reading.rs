//! One reading of a file: the text that is compared is the text that is parsed.

use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rcmgr_core::BadConfiguration;

use crate::file::text::{LARGEST, file_error, open_regular, text_of};

/// The text of a file, or the reason why it cannot be read.
pub type Text = Result<Arc<str>, BadConfiguration>;

/// The state of a file at one moment. Two equal readings some time apart show that it has settled.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    pub text: Text,
    /// Its size and modification time.
    stamp: Option<(u64, Option<SystemTime>)>,
}

impl Reading {
    pub fn of(path: &Path) -> Self {
        let (text, found) = match read(path) {
            Ok((bytes, found)) => (text(bytes), Some(found)),
            Err(error) => (Err(file_error(error.to_string())), None),
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
        return Err(file_error(
            "it is empty; perhaps it is still being written".into(),
        ));
    }
    Ok(text.into())
}
