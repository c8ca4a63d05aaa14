//! Time series as examples: windows of rows, and which of them are held out.
//!
//! Neighbours share rows, so the holdout is chosen by blocks of [`BLOCK_WINDOWS`] window lengths, by the hash of the
//! block's first window; and where sides change, windows that share a row with an earlier one of the other side are
//! left out. So nothing that is measured with was trained on, a window keeps its side when the series grows, and no
//! window goes over the end of a file or a row that was refused.
//! What it does not do: read rows, or turn windows into what the network sees.

use super::catalogue::{Cataloguing, Side};
use super::report::DataReport;
use super::target::Target;
use crate::Window;

/// Lengths of a window in one block. With a tenth held out, about one window in fifty is lost at the borders.
const BLOCK_WINDOWS: usize = 10;

/// All rows of all series, one behind another, and where the windows begin among them.
#[derive(Default)]
pub(super) struct Windows {
    /// Each row has as many numbers as the task has channels.
    pub(super) rows: Vec<f32>,
    pub(super) starts: Vec<usize>,
}

/// Rows that follow each other without a gap.
pub(super) struct Piece {
    /// Its first row among all.
    begin: usize,
    targets: Vec<Target>,
}

impl Windows {
    /// A piece that begins with the next row.
    pub(super) fn piece(&self, channels: usize) -> Piece {
        Piece { begin: self.rows.len() / channels, targets: Vec::new() }
    }

    /// Cuts a piece that has come to its end.
    pub(super) fn cut(
        &mut self,
        piece: &Piece,
        window: Window,
        channels: usize,
        cataloguing: &mut Cataloguing,
        report: &mut DataReport,
    ) {
        let count = piece.targets.len();
        report.short += usize::from((1..window.length).contains(&count));
        let mut block: Option<(usize, Side)> = None;
        let mut ends = [0; 2];
        let starts = (0..count).step_by(window.step()).take_while(|start| start + window.length <= count);
        for start in starts {
            let first = piece.begin + start;
            let values = &self.rows[first * channels..(first + window.length) * channels];
            let example: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let target = target(&piece.targets[start..start + window.length]);
            let index = start / (BLOCK_WINDOWS * window.length);
            let side = match block {
                Some((current, side)) if current == index => side,
                _ => cataloguing.side_of(&example, &target),
            };
            block = Some((index, side));
            if start < ends[side.other() as usize] {
                report.straddling += 1;
                continue;
            }
            ends[side as usize] = start + window.length;
            if cataloguing.admit(example, target, Some(side)) {
                self.starts.push(first);
            }
        }
    }

    /// One window as `[channels, length]`, or `None` beyond the last.
    pub(super) fn sample(&self, position: usize, shape: &[usize]) -> Option<Vec<f32>> {
        let start = *self.starts.get(position)?;
        Some(turned(&self.rows[start * shape[0]..], shape))
    }
}

impl Piece {
    pub(super) fn push(&mut self, target: Target) {
        self.targets.push(target);
    }
}

/// The first rows as `[channels, length]`.
pub(super) fn turned(rows: &[f32], shape: &[usize]) -> Vec<f32> {
    let (channels, length) = (shape[0], shape[1]);
    (0..channels).flat_map(|channel| (0..length).map(move |step| rows[step * channels + channel])).collect()
}

/// The class of most rows, the smaller of two; or the numbers of the last row.
fn target(rows: &[Target]) -> Target {
    let mut classes: Vec<u32> = rows
        .iter()
        .filter_map(|target| match target {
            Target::Class(class) => Some(*class),
            Target::Numbers(_) => None,
        })
        .collect();
    classes.sort_unstable();
    let most = classes.chunk_by(PartialEq::eq).rev().max_by_key(|rows| rows.len());
    most.map_or_else(|| rows[rows.len() - 1].clone(), |rows| Target::Class(rows[0]))
}
