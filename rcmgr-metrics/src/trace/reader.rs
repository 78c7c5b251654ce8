//! Reads the events of trace files.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

use flate2::bufread::MultiGzDecoder;
use rcmgr_core::shown;

use super::event::Event;
use super::kind::EventKind;
use super::labels::ScopeLabels;
use super::notes::{CutOff, Notes};

/// Reads the events of one or more files that form one trace, the oldest file first.
///
/// A file is plain or gzipped, with one or several gzip members; its first bytes decide. Memory is
/// bounded: the reader holds one line of at most 1 MiB.
///
/// The writer may have been stopped at any byte. If the gzip stream or the last line of a file is
/// cut off, the lines before it are used, and [`Notes::cut_off`] has the place. Any other line that
/// is not an event is an error. A damaged gzip stream is an error too, because the data after the
/// damage cannot be trusted. Files that have no event at all are not a trace: an error as well.
///
/// The first releases of go-libp2p's resource manager wrote no `Time`, and the name of the scope in
/// `Scope`. Such an event has the time of the event before it, and [`Notes::without_time`] counts
/// it. A byte-order mark is skipped.
///
/// Unknown event types and fields are not errors, because a newer writer may use them. They are
/// counted in the notes. Events of an unknown type are returned like any other; the values of
/// unknown fields are lost.
///
/// ```no_run
/// use rcmgr_metrics::trace::TraceReader;
///
/// let mut reader = TraceReader::open(["trace.1.json.gz", "trace.json.gz"])?;
/// for event in &mut reader {
///     let (unix_nanos, event) = event?;
///     println!("{unix_nanos} {} {}", event.kind, event.scope_name());
/// }
/// for cut_off in &reader.notes().cut_off {
///     eprintln!("{cut_off}");
/// }
/// # Ok::<(), rcmgr_metrics::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct TraceReader {
    files: vec::IntoIter<PathBuf>,
    /// The first file, once it was opened.
    first: Option<PathBuf>,
    open: Option<OpenFile>,
    line: Vec<u8>,
    notes: Notes,
    latest: Option<i64>,
    total_bytes: u64,
    bytes_read: Arc<AtomicU64>,
    failed: bool,
}

/// An error in a trace: the file, the line if there is one, and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct TraceError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: Option<u64>,
    /// The reason.
    pub reason: String,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    lines: Lines,
    /// The number of lines read so far.
    line: u64,
    is_before_first_event: bool,
    /// Whether the first event has a time. The others then have one too.
    has_times: bool,
}

#[derive(Debug)]
enum Lines {
    Plain(BufReader<CountedFile>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<CountedFile>>>>),
}

#[derive(Debug)]
struct CountedFile {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The longest line, in bytes. Lines with the longest names are much shorter.
const LONGEST_LINE: u64 = 1 << 20;

const BUFFER: usize = 64 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// The format, for errors about files that have another one.
const FORMAT: &str = "a trace has one JSON object a line, in the format of go-libp2p's resource \
                      manager, such as {\"Time\":\"2026-11-22T01:03:48Z\",\"Type\":\"start\"}; \
                      plain or gzipped";

/// The number of characters of a reason: it may quote the file.
const MOST_CHARS: usize = 200;

/// A line that is not an event.
struct NoEvent {
    reason: String,
    /// Whether it is the beginning of a JSON object, or of a gzip stream.
    is_beginning: bool,
}

/// The end of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    LineBreak,
    /// The end of the file; the line may be cut off.
    File,
    /// The place where a gzip stream is cut off.
    Gzip,
}

impl TraceReader {
    /// Checks that the files can be opened. They are read in this order.
    ///
    /// # Errors
    ///
    /// If a file does not exist, cannot be opened, or is not a regular file.
    pub fn open(files: impl IntoIterator<Item: Into<PathBuf>>) -> Result<Self, TraceError> {
        let files: Vec<PathBuf> = files.into_iter().map(Into::into).collect();
        let mut total_bytes = 0;
        for file in &files {
            let length = length(file).map_err(|why| TraceError {
                file: file.clone(),
                line: None,
                reason: why.to_string(),
            })?;
            total_bytes += length;
        }
        Ok(Self {
            files: files.into_iter(),
            first: None,
            open: None,
            line: Vec::new(),
            notes: Notes::default(),
            latest: None,
            total_bytes,
            bytes_read: Arc::default(),
            failed: false,
        })
    }

    /// The oddities found so far.
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The size of all files on disk, in bytes.
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The number of these bytes that have been read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    fn next_event(&mut self) -> Result<Option<(i64, Event)>, TraceError> {
        loop {
            // Open the next file, or end.
            let Some(open) = &mut self.open else {
                let Some(path) = self.files.next() else {
                    return self.end().map(|()| None);
                };
                self.first.get_or_insert_with(|| path.clone());
                self.open = Some(OpenFile::open(path, &self.bytes_read)?);
                continue;
            };
            self.line.clear();
            let Some(end) = open.read_line(&mut self.line)? else {
                self.open = None;
                continue;
            };
            let mut line = self.line.as_slice();
            if open.line == 0 {
                line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
            }
            // Parse the line, unless it is blank.
            let mut unknown_fields = Vec::new();
            let parsed = match line.trim_ascii() {
                [] => None,
                text => {
                    let parsed = parse(text, &mut unknown_fields);
                    Some(parsed.and_then(|event| Ok((open.time(&event, self.latest)?, event))))
                }
            };
            // At the end of a file, an invalid last line counts as cut off, not as an error. Before
            // the first event it must be the beginning of one, or the file is not a trace.
            let may_be_cut = |line: &NoEvent| !open.is_before_first_event || line.is_beginning;
            let (event, cut_off) = match (parsed, end) {
                (Some(Err(line)), End::LineBreak) => return Err(open.next_line(line.reason)),
                (Some(Err(line)), _) if !may_be_cut(&line) => {
                    return Err(open.next_line(line.reason));
                }
                (Some(Err(_)), End::File) => (None, Some("the last line")),
                (parsed, End::Gzip) => (parsed.and_then(Result::ok), Some("the gzip stream")),
                (parsed, _) => (parsed.and_then(Result::ok), None),
            };
            if end == End::LineBreak || event.is_some() {
                open.line += 1;
            }
            if let Some(what) = cut_off {
                self.notes.cut_off.push(CutOff {
                    file: open.path.clone(),
                    after_line: open.line,
                    what,
                });
            }
            // A file that starts before the latest event so far is out of order.
            if let Some((time, event)) = &event {
                let latest = self.latest.unwrap_or(*time);
                if std::mem::take(&mut open.is_before_first_event) {
                    open.has_times = !event.time.is_empty();
                    if *time < latest {
                        self.notes.out_of_order.push(open.path.clone());
                    }
                }
                self.latest = Some(latest.max(*time));
            }
            if end != End::LineBreak {
                self.open = None;
            }
            if let Some((time, event)) = event {
                self.note(&event, &unknown_fields);
                return Ok(Some((time, event)));
            }
        }
    }

    /// The end of all files. Files without any known event are not a trace.
    fn end(&self) -> Result<(), TraceError> {
        let Some(first) = &self.first else {
            return Ok(());
        };
        let notes = &self.notes;
        if notes.events > notes.unknown_types.total {
            return Ok(());
        }
        let problem = match notes.cut_off.first() {
            _ if notes.events > 0 => "no event has a known type".to_owned(),
            Some(cut_off) => format!("no event: {} is cut off", cut_off.what),
            None => "no event: the file is empty".to_owned(),
        };
        Err(TraceError {
            file: first.clone(),
            line: None,
            reason: format!("{problem}; {FORMAT}"),
        })
    }

    fn note(&mut self, event: &Event, unknown_fields: &[String]) {
        self.notes.events += 1;
        self.notes.without_time += u64::from(event.time.is_empty());
        for field in unknown_fields {
            self.notes.unknown_fields.count(field);
        }
        if let EventKind::Other(name) = &event.kind {
            self.notes.unknown_types.count(name);
        }
    }
}

impl Iterator for TraceReader {
    /// The time in nanoseconds since 1970, and the event.
    type Item = Result<(i64, Event), TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_event().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// Returns the length of a regular file. Opening a pipe would block until there is a writer, and a
/// pipe cannot be read twice.
fn length(path: &Path) -> io::Result<u64> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)?;
    Ok(metadata.len())
}

/// Parses an event, and collects the unknown fields.
fn parse(line: &[u8], unknown: &mut Vec<String>) -> Result<Event, NoEvent> {
    let no_event = |reason: &str| NoEvent {
        reason: format!("not an event: {:.MOST_CHARS$}", shown(reason)),
        is_beginning: false,
    };
    // An array would be read as the fields in order.
    if line.starts_with(b"[") {
        return Err(no_event("expected a JSON object, at column 1"));
    }
    if UTF_16.iter().any(|mark| line.starts_with(mark)) {
        return Err(no_event("text in UTF-16, not in UTF-8"));
    }
    let mut json = serde_json::Deserializer::from_slice(line);
    let read = serde_ignored::deserialize(&mut json, |path| unknown.push(path.to_string()));
    let mut event: Event = read
        .and_then(|event| json.end().map(|()| event))
        .map_err(|error| {
            // Remove the line number of serde_json: the text is a single line, so it is always 1.
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text);
            NoEvent {
                is_beginning: error.is_eof() && line.starts_with(b"{") || GZIP.starts_with(line),
                reason: format!("{}, at column {}", no_event(reason).reason, error.column()),
            }
        })?;
    // Early traces have the name only in `Scope`.
    if event.name.is_none() {
        event.name = event.scope.as_ref().map(ScopeLabels::name);
    }
    let is_of_a_scope = !matches!(event.kind, EventKind::Start | EventKind::Other(_));
    if is_of_a_scope && event.name.is_none() {
        return Err(no_event(&format!("a {} without a Name", event.kind)));
    }
    Ok(event)
}

impl OpenFile {
    fn open(path: PathBuf, read: &Arc<AtomicU64>) -> Result<Self, TraceError> {
        let begin = || -> io::Result<Lines> {
            let file = CountedFile {
                file: File::open(&path)?,
                read: read.clone(),
            };
            let mut plain = BufReader::with_capacity(BUFFER, file);
            Ok(match plain.fill_buf()?.starts_with(&GZIP) {
                false => Lines::Plain(plain),
                true => {
                    let gzip = MultiGzDecoder::new(plain);
                    Lines::Gzip(Box::new(BufReader::with_capacity(BUFFER, gzip)))
                }
            })
        };
        match begin() {
            Ok(lines) => Ok(Self {
                path,
                lines,
                line: 0,
                is_before_first_event: true,
                has_times: false,
            }),
            Err(why) => Err(TraceError {
                file: path,
                line: None,
                reason: why.to_string(),
            }),
        }
    }

    /// The time of the next event; `latest` is that of the events before it.
    fn time(&self, event: &Event, latest: Option<i64>) -> Result<i64, NoEvent> {
        let time = match event.time.as_str() {
            "" if self.is_before_first_event || !self.has_times => Ok(latest.unwrap_or(0)),
            "" => Err("missing field `Time`".to_owned()),
            text => {
                let nanos = event.unix_nanos();
                nanos.ok_or_else(|| format!("Time {text:?} is not in RFC 3339"))
            }
        };
        time.map_err(|reason| NoEvent {
            reason: format!("not an event: {:.MOST_CHARS$}", shown(&reason)),
            is_beginning: false,
        })
    }

    /// An error in the next line. Before the first event it has the format, because the file may
    /// not be a trace.
    fn next_line(&self, mut reason: String) -> TraceError {
        if self.is_before_first_event {
            reason = format!("{reason}; {FORMAT}");
        }
        TraceError {
            file: self.path.clone(),
            line: Some(self.line + 1),
            reason,
        }
    }

    /// Reads a line; `None` at the end of the file.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<Option<End>, TraceError> {
        let read = match &mut self.lines {
            Lines::Plain(lines) => lines.take(LONGEST_LINE + 1).read_until(b'\n', line),
            Lines::Gzip(lines) => lines.take(LONGEST_LINE + 1).read_until(b'\n', line),
        };
        match read {
            _ if line.len() as u64 > LONGEST_LINE => {
                Err(self.next_line("not an event: longer than 1 MiB".into()))
            }
            Ok(0) => Ok(None),
            Ok(_) if line.ends_with(b"\n") => Ok(Some(End::LineBreak)),
            Ok(_) => Ok(Some(End::File)),
            Err(why) if why.kind() == ErrorKind::UnexpectedEof => Ok(Some(End::Gzip)),
            Err(why) => Err(self.next_line(why.to_string())),
        }
    }
}
