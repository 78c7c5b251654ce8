//! Output files that are written completely or not at all. Pipes and devices are written in place.

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

/// The path of a file without links and detours. Two paths lead to the same file if theirs are equal. The
/// file need not exist. The path of a device or a pipe stays as it is: nothing replaces them.
pub fn canonical(path: &Path) -> PathBuf {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return path.to_owned();
    }
    let missing = || {
        let folder = fs::canonicalize(folder_of(path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let found = fs::canonicalize(path).ok().or_else(missing);
    found.unwrap_or_else(|| path.to_owned())
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A file to write. An existing file at the path stays unchanged until [`finish`](Self::finish).
pub struct Output {
    path: PathBuf,
    target: Target,
}

enum Target {
    /// A file in the same folder as that of this path, so that a rename finishes it. It is removed when
    /// dropped.
    Renamed(NamedTempFile, PathBuf),
    /// A pipe or a device: a rename would replace it.
    Written(File),
}

impl Output {
    /// Checks that the file can be written. A link is followed.
    ///
    /// # Errors
    ///
    /// [`OutputError`], if no file can be created in the folder, if the path is a folder or a link that
    /// leads nowhere, if it may not be written, or if it names a file that is open by its descriptor, such as
    /// `/dev/stdout`.
    pub fn begin(path: &Path) -> Result<Self, OutputError> {
        let failed = |why| OutputError {
            path: path.to_owned(),
            why,
        };
        if path.is_dir() || path.file_name().is_none() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        // First, because the link of a descriptor to a pipe leads to no path.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            // A pipe waits here for its reader.
            let file = File::options().write(true).open(path).map_err(failed)?;
            return Ok(Self {
                path: path.to_owned(),
                target: Target::Written(file),
            });
        }
        // A link stays a link: the file that it leads to is replaced. If it leads nowhere, that is an error.
        let target = match fs::symlink_metadata(path) {
            Ok(_) => fs::canonicalize(path).map_err(failed)?,
            Err(_) => path.to_owned(),
        };
        // What has that file open would go on with the old one.
        if is_descriptor(path) {
            let text = "this is a file that is open already: give its own path";
            return Err(failed(io::Error::new(ErrorKind::InvalidInput, text)));
        }
        // Do not replace a read-only file.
        match File::options().append(true).open(&target) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(why)),
            _ => {}
        }
        let folder = folder_of(&target);
        fs::metadata(folder).map_err(failed)?;
        let file = with_usual_permissions().tempfile_in(folder);
        // The message of tempfile contains the name of the temporary file: use only the reason.
        let file = file.map_err(|why| failed(why.kind().into()))?;
        Ok(Self {
            path: path.to_owned(),
            target: Target::Renamed(file, target),
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// [`OutputError`]; an existing file is then unchanged. A pipe or a device may have got a part.
    pub fn finish(self, text: &str) -> Result<(), OutputError> {
        let written = match self.target {
            Target::Written(mut file) => file.write_all(text.as_bytes()),
            Target::Renamed(file, target) => replace(file, &target, text),
        };
        let path = self.path;
        written.map_err(|why| OutputError { path, why })
    }
}

/// Whether the path names a file by its descriptor, such as `/dev/stdout`.
fn is_descriptor(path: &Path) -> bool {
    // Other paths below `/dev`, such as `/dev/shm`, are usual files.
    let roots = ["/dev/fd", "/dev/stdout", "/dev/stderr", "/proc"];
    roots.iter().any(|root| path.starts_with(root))
}

fn replace(mut file: NamedTempFile, target: &Path, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    Ok(())
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

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::create_dir(place("reports")).unwrap();
        fs::write(place("reports/last.json"), "before").unwrap();
        std::os::unix::fs::symlink("reports/last.json", place("link.json")).unwrap();
        let output = Output::begin(&place("link.json")).unwrap();
        output.finish("after").unwrap();
        assert!(
            fs::symlink_metadata(place("link.json"))
                .unwrap()
                .is_symlink()
        );
        assert_eq!(
            fs::read_to_string(place("reports/last.json")).unwrap(),
            "after"
        );
        fs::remove_file(place("reports/last.json")).unwrap();
        assert!(Output::begin(&place("link.json")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let reader = std::thread::spawn({
            let path = path.clone();
            move || fs::read_to_string(path).unwrap()
        });
        Output::begin(&path).unwrap().finish("all of it").unwrap();
        assert_eq!(reader.join().unwrap(), "all of it");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        // A pipe without a name.
        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", writer.as_raw_fd());
        let output = Output::begin(Path::new(&path)).unwrap();
        output.finish("all of it").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "all of it");
        // A file that is open.
        let open = File::create(folder.path().join("open")).unwrap();
        let path = format!("/dev/fd/{}", open.as_raw_fd());
        let error = Output::begin(Path::new(&path)).err().unwrap().to_string();
        assert!(error.ends_with("give its own path"), "{error}");
        assert!(!is_descriptor(Path::new("/dev/shm/report.json")));
        // A device is no folder to put a temporary file beside. This one refuses every byte.
        let full = Output::begin(Path::new("/dev/full")).unwrap();
        let error = full.finish("lost").unwrap_err().to_string();
        assert!(error.starts_with("cannot write /dev/full: "), "{error}");
        let kept = fs::metadata("/dev/full").unwrap();
        assert!(kept.file_type().is_char_device());
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
