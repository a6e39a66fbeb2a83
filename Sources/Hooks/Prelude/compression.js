// CompressionStream and DecompressionStream (Compression standard), by zlib in steps of 64 KiB.
{
  const S = realm.streams;
  const formats = ["gzip", "deflate", "deflate-raw"];

  function transformOf(name, compresses) {
    return S.transformClass(name, (format) => {
      const index = formats.indexOf(`${format}`);
      if (index < 0) throw new TypeError(`${name}: the format "${realm.clip(`${format}`, 40)}" is not supported`);
      const zip = native.zipOpen(index, compresses);
      /// Hands on what the steps give, never more of it than the reader has room for.
      const work = async (last) => {
        let chunk = native.zipStep(zip, last);
        while (chunk !== null) {
          stream.enqueue(chunk);
          // Whether there is more is known before anyone waits: the last chunk of a write ends the write.
          chunk = native.zipStep(zip, last);
          if (chunk !== null && stream.backpressure) await stream.change.promise;
        }
      };
      const stream = S.transform((chunk) => {
        native.zipFeed(zip, realm.bytesOf(chunk));
        return work(false);
      }, () => work(true));
      return { stream };
    });
  }
  realm.lazy(["CompressionStream", "DecompressionStream"], () => ({
    CompressionStream: transformOf("CompressionStream", true),
    DecompressionStream: transformOf("DecompressionStream", false),
  }));
}
