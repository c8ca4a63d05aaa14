//! IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, their sizes, then the values.
//!
//! What it does not do: other types than unsigned bytes.

use super::{DataError, MAX_EXAMPLES};

const UNSIGNED_BYTE: u8 = 0x08;

/// A checked IDX file: `bytes` holds exactly as many values as `sizes` says.
pub(crate) struct Idx<'a> {
    pub(crate) sizes: Vec<usize>,
    pub(crate) bytes: &'a [u8],
}

pub(crate) fn parse<'a>(what: &str, file: &'a [u8]) -> Result<Idx<'a>, DataError> {
    let malformed = |reason: String| DataError::Malformed { what: what.into(), reason };
    let dimensions = match file {
        [0, 0, UNSIGNED_BYTE, dimensions @ 1..=4, ..] => usize::from(*dimensions),
        [0, 0, kind, ..] if *kind != UNSIGNED_BYTE => {
            return Err(malformed(format!("IDX type {kind:#04x}; only unsigned bytes (0x08) are read")));
        }
        _ => return Err(malformed("it is not an IDX file of 1 to 4 dimensions".into())),
    };
    let sizes = file.get(4..4 + 4 * dimensions).ok_or_else(|| malformed("it ends within its head".into()))?;
    let sizes: Vec<usize> = sizes
        .chunks_exact(4)
        .map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize)
        .collect();
    let bytes = &file[4 + 4 * dimensions..];
    let expected = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if sizes[0] > MAX_EXAMPLES {
        return Err(DataError::TooLarge(what.into()));
    }
    if expected != Some(bytes.len()) {
        return Err(malformed(format!("its head says sizes {sizes:?}, but {} values follow", bytes.len())));
    }
    Ok(Idx { sizes, bytes })
}

/// Checks that images are examples of that shape, with or without the one channel of grey.
pub(super) fn check_images(images: &Idx<'_>, expected: &[usize]) -> Result<(), DataError> {
    let found = example_shape(&images.sizes);
    if found == expected || images.sizes[1..] == *expected || images.sizes[0] == 0 {
        return Ok(());
    }
    Err(DataError::Shape { what: "the images".into(), expected: expected.into(), found })
}

/// The shape of one example, with the channel that grey images leave out.
pub(crate) fn example_shape(sizes: &[usize]) -> Vec<usize> {
    match sizes {
        [_, height, width] => vec![1, *height, *width],
        [_, shape @ ..] => shape.to_vec(),
        [] => Vec::new(),
    }
}

pub(super) fn encode(sizes: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, UNSIGNED_BYTE, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| (*size as u32).to_be_bytes()));
    file.extend_from_slice(bytes);
    file
}
