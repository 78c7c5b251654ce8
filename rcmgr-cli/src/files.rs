//! Output files that are written completely or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {why}", path.display())]
pub struct OutputError {
    path: PathBuf,
    #[source]
    why: io::Error,
}

/// A file to write. An existing file at the path stays unchanged until [`finish`](Self::finish).
pub struct Output {
    path: PathBuf,
    /// In the same folder, so that a rename finishes it. It is removed when dropped.
    file: NamedTempFile,
}

impl Output {
    /// Checks that the file can be written.
    ///
    /// # Errors
    ///
    /// [`OutputError`], if no file can be created in the folder, or if the path is a folder.
    pub fn begin(path: &Path) -> Result<Self, OutputError> {
        let failed = |why| OutputError {
            path: path.to_owned(),
            why,
        };
        if path.is_dir() || path.file_name().is_none() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        // Do not replace a read-only file.
        match File::options().append(true).open(path) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(why)),
            _ => {}
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        fs::metadata(folder).map_err(failed)?;
        let file = with_usual_permissions().tempfile_in(folder);
        // The message of tempfile contains the name of the temporary file: use only the reason.
        let file = file.map_err(|why| failed(why.kind().into()));
        Ok(Self {
            path: path.to_owned(),
            file: file?,
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// [`OutputError`]; an existing file is then unchanged.
    pub fn finish(mut self, text: &str) -> Result<(), OutputError> {
        let written = self.file.write_all(text.as_bytes());
        let written = written.and_then(|()| self.file.as_file().sync_all());
        let Self { path, file } = self;
        let renamed = written.and_then(|()| Ok(file.persist(&path).map(drop)?));
        renamed.map_err(|why| OutputError { path, why })
    }
}

/// Other users may read a report; the default of temporary files would forbid it.
#[cfg(unix)]
fn with_usual_permissions() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn with_usual_permissions() -> tempfile::Builder<'static, 'static> {
    tempfile::Builder::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_stays_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "before").unwrap();
        let output = Output::begin(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        Output::begin(&path).unwrap().finish("after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_found_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/report.json");
        let error = Output::begin(&path).err().unwrap().to_string();
        assert!(error.contains("none/report.json: "), "{error}");
        assert!(Output::begin(folder.path()).is_err());
    }
}
