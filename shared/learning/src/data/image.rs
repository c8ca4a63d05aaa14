//! PNG and JPEG, as grey or coloured bytes of the size that the task wants.
//!
//! What it does not do: other formats, transparency (it is dropped), or the turning that a camera notes down.

use super::{DataError, file};
use image::imageops::{self, FilterType};
use image::{ImageBuffer, ImageFormat, ImageReader, Limits, Pixel};
use std::io::Cursor;
use std::path::Path;

/// Longest image file.
const MAX_FILE_LEN: u64 = 64 << 20;
/// Longest side of an image, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Most bytes that an unpacked image may take: a few kilobytes of PNG can claim gigabytes.
const MAX_UNPACKED: u64 = 128 << 20;

/// The pixels of an image file as `[channels, height, width]` of `shape`, one byte each.
pub(super) fn pixels(path: &Path, shape: &[usize]) -> Result<Vec<u8>, DataError> {
    let image = decode(path)?;
    let (height, width) = (shape[1] as u32, shape[2] as u32);
    // Bytes of grey or of colours first: then no other kind of pixel is scaled.
    Ok(match shape[0] {
        1 => scaled(image.into_luma8(), width, height),
        _ => {
            let pixels = scaled(image.into_rgb8(), width, height);
            (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3)).copied().collect()
        }
    })
}

/// Whether an image has colours.
pub(crate) fn is_coloured(path: &Path) -> Result<bool, DataError> {
    Ok(decode(path)?.color().has_color())
}

fn scaled<P: Pixel<Subpixel = u8> + 'static>(
    image: ImageBuffer<P, Vec<u8>>,
    width: u32,
    height: u32,
) -> Vec<u8> {
    match image.dimensions() == (width, height) {
        true => image.into_raw(),
        false => imageops::resize(&image, width, height, FilterType::Triangle).into_raw(),
    }
}

fn decode(path: &Path) -> Result<image::DynamicImage, DataError> {
    let malformed = |reason: String| DataError::Malformed { what: path.display().to_string(), reason };
    let file = file::read(path, MAX_FILE_LEN)?;
    let format = image::guess_format(&file)
        .ok()
        .filter(|format| matches!(format, ImageFormat::Png | ImageFormat::Jpeg));
    let format = format.ok_or_else(|| malformed("it is neither PNG nor JPEG".into()))?;
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_UNPACKED);
    reader.limits(limits);
    reader.decode().map_err(|error| malformed(error.to_string().replace('\n', " ")))
}
