//! Writing and reading compressed streams, and what is wrong with them.

use super::*;
use crate::compress::{ExpandLimits, Expanded};
use std::io::Read;

/// Bytes that compress a little, of any length, always the same.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (state >> 28) as u8
        })
        .collect()
}

fn pack(bytes: &[u8], compression: Compression, workers: usize, piece: usize) -> Vec<u8> {
    let mut writer =
        BlockWriter::with_workers(Vec::new(), compression, compression.usual_level(), workers).unwrap();
    for (count, piece) in bytes.chunks(piece).enumerate() {
        writer.write_all(piece).unwrap();
        if count % 100 == 7 {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap()
}

fn expand(bytes: &[u8], limits: ExpandLimits) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Expanded::new(bytes, Compression::of(bytes), limits).unwrap().read_to_end(&mut text)?;
    Ok(text)
}

const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

#[test]
fn what_was_compressed_is_the_same_again_on_any_number_of_threads() {
    for length in [0, 1, 100_000, GZIP_BLOCK_BYTES, 3 * ZSTD_BLOCK_BYTES + 17] {
        let bytes = sample(length);
        for compression in BOTH {
            let one = pack(&bytes, compression, 1, usize::MAX);
            assert_eq!(one, pack(&bytes, compression, 3, 9_999), "{length}");
            assert_eq!(Compression::of(&one), compression);
            assert_eq!(expand(&one, ExpandLimits::default()).unwrap(), bytes, "{length}");
        }
    }
}

#[test]
fn gzip_is_read_by_a_reader_of_another_make() {
    let bytes = sample(2 * GZIP_BLOCK_BYTES + 5);
    let packed = pack(&bytes, Compression::Gzip, 2, 4096);
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, bytes);
    // RFC 1952: no file name, and no time.
    assert_eq!(packed[3..8], [0, 0, 0, 0, 0]);
}

#[test]
fn what_is_cut_short_or_damaged_is_bad_data() {
    let bytes = sample(100_000);
    for compression in BOTH {
        let packed = pack(&bytes, compression, 1, usize::MAX);
        for end in [5, 20, packed.len() / 2, packed.len() - 1] {
            let error = crate::read_error(expand(&packed[..end], ExpandLimits::default()).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::BadData, "{compression:?} {end} {error}");
            assert!(error.to_string().contains("cut short"), "{compression:?} {end} {error}");
        }
        let mut damaged = packed.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        let error = crate::read_error(expand(&damaged, ExpandLimits::default()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::BadData);
        assert!(error.to_string().contains("damaged"), "{error}");
        let mut more = packed.clone();
        more.extend(b"rubbish");
        assert!(expand(&more, ExpandLimits::default()).is_err());
    }
}

#[test]
fn a_bomb_is_not_expanded() {
    for compression in BOTH {
        let packed = pack(&vec![0; 4 * 1024 * 1024], compression, 1, usize::MAX);
        let limits = ExpandLimits { ratio: 100, free_bytes: 100_000, ..ExpandLimits::default() };
        let error = crate::read_error(expand(&packed, limits).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::BadData);
        assert!(error.to_string().contains("100 times"), "{error}");
        let limits = ExpandLimits { max_bytes: 1_000_000, ratio: u64::MAX, ..ExpandLimits::default() };
        let error = crate::read_error(expand(&packed, limits).unwrap_err());
        assert!(error.to_string().contains("1000000 bytes"), "{error}");
        assert_eq!(expand(&packed, ExpandLimits::default()).unwrap().len(), 4 * 1024 * 1024);
    }
}

#[test]
fn an_error_of_the_source_is_not_the_data_s() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
            }
            self.0.read(into)
        }
    }
    for compression in BOTH {
        let packed = pack(&sample(100_000), compression, 1, usize::MAX);
        let mut input = Expanded::new(Broken(&packed[..50]), compression, ExpandLimits::default()).unwrap();
        let error = crate::read_error(input.read_to_end(&mut Vec::new()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
}

#[test]
fn an_output_that_cannot_be_written_fails_the_writing() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = BlockWriter::with_workers(Full, Compression::Gzip, 4, 2).unwrap();
    writer.write_all(b"x").unwrap();
    assert_eq!(writer.finish().err().unwrap().kind(), ErrorKind::NotYet);
}

#[test]
fn a_level_that_there_is_not_is_refused() {
    for (compression, level) in
        [(Compression::Gzip, 13), (Compression::Gzip, -1), (Compression::Zstd, 23), (Compression::None, 0)]
    {
        let error = BlockWriter::new(Vec::new(), compression, level).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn a_writer_that_is_dropped_ends_its_threads() {
    let mut writer = BlockWriter::with_workers(Vec::new(), Compression::Gzip, 4, 2).unwrap();
    writer.write_all(&sample(3 * GZIP_BLOCK_BYTES)).unwrap();
    drop(writer);
}

#[test]
fn a_block_that_does_not_come_out_as_it_went_in_is_an_error() {
    for compression in BOTH {
        let plain = sample(10_000);
        let checked = BlockWriter::checked(Vec::new(), compression, compression.usual_level());
        let mut writer = checked.unwrap();
        writer.write_all(&plain).unwrap();
        assert_eq!(writer.finish().unwrap(), pack(&plain, compression, 1, usize::MAX));
        let packer = Packer { check: true, ..Packer::new(compression, compression.usual_level()).unwrap() };
        let mut tools = Tools::new(packer).unwrap();
        let mut block = Block { plain, packed: Vec::new() };
        tools.pack(&mut block).unwrap();
        block.plain[77] ^= 1;
        let error = tools.checker.as_mut().unwrap().check(&block).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
