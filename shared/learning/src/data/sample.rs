//! Reads a file of examples whose class is to be predicted.

use super::row::{Columns, Row};
use super::table::Lines;
use super::{DataError, file, idx, image, npy, series};
use crate::{Format, Task};
use std::path::Path;

/// Reads every example of one file for [`predict`](crate::predict), by the format of the task: an IDX file of images
/// or one grey image as binary PGM (`P5`, one byte a pixel); a CSV file with or without what is to be predicted; an
/// NPY array of examples or of rows; a PNG or JPEG image. CSV, IDX and PGM may be packed with gzip. For a task with
/// windows the rows are one series, and its windows are the examples.
/// Each example is given as the numbers of the file; `predict` scales them as the task says.
///
/// # Errors
/// The file cannot be read, is of another format, or is not of the task's shape; here one bad row is enough.
pub fn read_samples(path: &Path, task: &Task) -> Result<Vec<Vec<f32>>, DataError> {
    let what = path.display().to_string();
    match task.data.format {
        Format::Csv => {
            let (source, _) = file::open(path)?;
            let (columns, mut lines) = (Columns::of(task), Lines::new(&what, source, false));
            let rows = std::iter::from_fn(|| lines.next(&|cells| columns.unlabelled(cells)));
            Ok(examples(rows.collect::<Result<_, _>>()?, task))
        }
        Format::Npy => array(&what, path, task),
        Format::Images => Ok(vec![numbers(&image::pixels(path, &task.input)?)]),
        Format::Idx => {
            let bytes = file::read_unpacked(path)?;
            if bytes.starts_with(b"P5") {
                return Ok(vec![pgm(&what, &bytes, &task.input)?]);
            }
            let images = idx::parse(&what, &bytes)?;
            idx::check_images(&images, &task.input)?;
            Ok(images.bytes.chunks_exact(task.example_len()).map(numbers).collect())
        }
    }
}

fn array(what: &str, path: &Path, task: &Task) -> Result<Vec<Vec<f32>>, DataError> {
    let mut array = npy::Array::read(path)?;
    let found = idx::example_shape(&array.shape);
    let holds = task.data.has_rows() || found == task.input || array.shape[1..] == *task.input;
    if !holds || array.shape.len() < 2 {
        return Err(DataError::Shape { what: what.into(), expected: task.input.clone(), found });
    }
    let columns = Columns::of(task);
    let rows = std::iter::from_fn(|| array.next(&|cells| columns.unlabelled(cells)));
    Ok(examples(rows.collect::<Result<_, _>>()?, task))
}

/// Rows as they are, or their windows.
fn examples(rows: Vec<Row>, task: &Task) -> Vec<Vec<f32>> {
    let Some(window) = task.data.window else {
        return rows.into_iter().map(|row| row.features).collect();
    };
    let all: Vec<f32> = rows.into_iter().flat_map(|row| row.features).collect();
    let (channels, count) = (task.input[0], all.len() / task.input[0]);
    let starts = (0..count).step_by(window.step()).take_while(|start| start + window.length <= count);
    starts.map(|start| series::turned(&all[start * channels..], &task.input)).collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|byte| f32::from(*byte)).collect()
}

/// `P5`, width, height, largest value, one blank, pixels. Comments run from `#` to the end of the line.
fn pgm(what: &str, bytes: &[u8], expected: &[usize]) -> Result<Vec<f32>, DataError> {
    let malformed = |reason: &str| DataError::Malformed { what: what.into(), reason: reason.into() };
    let mut rest = &bytes[2..];
    let mut head = [0usize; 3];
    for number in &mut head {
        rest = skip_blanks(rest);
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
        *number = text.parse().map_err(|_| malformed("it is not a binary PGM file"))?;
        rest = &rest[digits..];
    }
    let [width, height, largest] = head;
    if largest != 255 {
        return Err(malformed("only PGM with a largest value of 255 is read"));
    }
    let pixels = rest.get(1..).unwrap_or_default();
    if expected != [1, height, width] {
        let found = vec![1, height, width];
        return Err(DataError::Shape { what: what.into(), expected: expected.into(), found });
    }
    if pixels.len() != width * height {
        return Err(malformed("its pixels are not as many as its head says"));
    }
    Ok(numbers(pixels))
}

fn skip_blanks(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = bytes.trim_ascii_start();
        if !bytes.starts_with(b"#") {
            return bytes;
        }
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        bytes = &bytes[line..];
    }
}
