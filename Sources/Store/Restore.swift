import CPosix
import Digests
import Glibc
import Posix

/// Puts a backup in place of an empty or missing state directory: all of it or nothing.
///
/// The backup is first written into `restore/` in that directory and looked at there: its sum, its version, the file of
/// the state. Only what is whole and on disk is renamed into place, the keys before the state; `state.mdb` being there
/// means that everything is. A restore that is refused leaves the directory as it was.
package struct Restore {
  private static let chunkBytes = 1 << 20
  /// Keys' names in the order they have in a backup: of two, the second is about to take the first one's place.
  private static let keyNames = [StateDirectory.keyName, StateDirectory.keyName + ".next"]

  private let source: Int32
  private let sourceName: String
  private let directory: String
  private var spool: String { directory + "/" + StateDirectory.restoreName }
  private var spooledState: String { spool + "/" + StateDirectory.stateName }

  /// Reads a backup from `descriptor` to its end and puts it into `directory`. Blocks. `sourceName` is for messages.
  package static func run(
    from descriptor: Int32, named sourceName: String, into directory: String
  ) throws(StoreError) -> BackupInfo {
    let isNew = access(directory, F_OK) != 0
    let hadLock = access(directory + "/" + StateDirectory.lockName, F_OK) == 0
    let lock = try StateDirectory.Lock(of: directory)
    defer { withExtendedLifetime(lock) {} }
    let restore = Restore(source: descriptor, sourceName: sourceName, directory: directory)
    do {
      try restore.refuseUnlessEmpty()
      defer { restore.clear() }
      let info = try restore.spoolAll()
      try restore.putInPlace(info)
      return info
    } catch {
      if !hadLock { unlink(directory + "/" + StateDirectory.lockName) }
      if isNew { rmdir(directory) }
      throw error
    }
  }

  private func refuseUnlessEmpty() throws(StoreError) {
    var status = stat()
    // A link of that name is nobody's spool.
    let isUnfinished = lstat(spool, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    var ours: Set = [StateDirectory.lockName, "lost+found"]
    if isUnfinished { ours.formUnion(Self.keyNames + [StateDirectory.restoreName]) }
    let found = try names(in: directory).filter { !ours.contains($0) }.sorted()
    guard found.isEmpty else {
      throw StoreError(
        .notEmpty, "the state directory \(directory) is not empty: it holds \(found.prefix(3).joined(separator: ", "))",
        hint: "restore into another --state-dir, or move away what is there")
    }
    // An earlier one that was killed.
    if isUnfinished {
      for name in Self.keyNames { unlink(directory + "/" + name) }
      clear()
    }
  }

  /// Removes the spool. What cannot be removed is found again by the next restore or start.
  private func clear() {
    for name in [StateDirectory.stateName, StateDirectory.stateName + "-lock"] + Self.keyNames {
      unlink(spool + "/" + name)
    }
    rmdir(spool)
  }

  // MARK: - Reading

  /// Writes what the backup holds into the spool and looks at it.
  private func spoolAll() throws(StoreError) -> BackupInfo {
    let sum = ContentHash()
    let headBytes = try read(BackupFormat.headBytes)
    guard let head = BackupFormat.Head(headBytes) else { throw unusable("it is no backup of Tidewaiter") }
    guard head.formatVersion == BackupFormat.version else {
      throw unusable("its format is \(head.formatVersion), and this daemon knows \(BackupFormat.version)")
    }
    let info = head.info
    // An older one is brought up to date by the daemon that starts on it.
    guard (1...StateStore.schemaVersion).contains(info.schemaVersion) else {
      throw unusable("it has schema version \(info.schemaVersion), and this daemon knows \(StateStore.schemaVersion)")
    }
    guard Int(head.pageBytes) == Int(sysconf(Int32(_SC_PAGESIZE))) else {
      throw unusable("it was made on a machine with pages of \(head.pageBytes) bytes")
    }
    guard info.keyCount <= BackupFormat.keysMaximum, info.stateBytes <= UInt64(Int64.max),
      info.stateBytes % UInt64(head.pageBytes) == 0
    else { throw unusable("its head makes no sense") }
    sum.update(headBytes)
    do throws(PosixError) {
      guard mkdir(spool, 0o700) == 0 else { throw PosixError("create \(spool)") }
    } catch {
      throw StoreError(error, path: directory)
    }
    for name in Self.keyNames.prefix(info.keyCount) {
      let key = try read(SealingKey.length)
      sum.update(key)
      do {
        try File.create(spool + "/" + name, mode: 0o600, contents: key)
      } catch {
        throw StoreError(error, path: directory)
      }
    }
    try spoolState(info.stateBytes, sum)
    guard try read(BackupFormat.sumBytes) == sum.finishBytes() else {
      throw unusable("it was altered: its sum is another")
    }
    guard try readSome(1).isEmpty else { throw unusable("something follows it") }
    try lookAtState(info)
    return info
  }

  private func spoolState(_ size: UInt64, _ sum: ContentHash) throws(StoreError) {
    let descriptor = cposix_open(spooledState, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw StoreError(PosixError("create \(spooledState)"), path: directory) }
    defer { close(descriptor) }
    var left = size
    while left > 0 {
      let bytes = try readSome(Int(min(left, UInt64(Self.chunkBytes))))
      guard !bytes.isEmpty else { throw cutShort }
      left -= UInt64(bytes.count)
      sum.update(bytes)
      do {
        try File.write(bytes, to: descriptor, named: spooledState)
      } catch {
        throw StoreError(error, path: directory)
      }
    }
    guard fsync(descriptor) == 0 else { throw StoreError(PosixError("sync \(spooledState)"), path: directory) }
  }

  /// The sum says that the bytes are those of the backup; this, that they are a state.
  private func lookAtState(_ info: BackupInfo) throws(StoreError) {
    try FileCheck.verify(spooledState)
    let path = spooledState
    let file = try EnvironmentFile(
      path: path, tables: [StateStore.meta.description], options: Environment.Options(),
      admit: { transaction throws(StoreError) in
        guard try transaction.get(StateStore.meta, "schema_version") == info.schemaVersion else {
          throw unusable("its state is of another schema version than its head says")
        }
      })
    file.close()
    unlink(path + "-lock")
  }

  // MARK: - Putting in place

  private func putInPlace(_ info: BackupInfo) throws(StoreError) {
    do throws(PosixError) {
      try File.syncDirectory(of: spooledState)
      for name in Self.keyNames.prefix(info.keyCount) { try move(name) }
      try File.syncDirectory(of: spool)
      try move(StateDirectory.stateName)
      try File.syncDirectory(of: spool)
      try File.syncDirectory(of: directory)
    } catch {
      // Keys without the state that they are of are worse than none.
      if access(directory + "/" + StateDirectory.stateName, F_OK) != 0 {
        for name in Self.keyNames { unlink(directory + "/" + name) }
      }
      throw StoreError(error, path: directory)
    }
  }

  private func move(_ name: String) throws(PosixError) {
    guard rename(spool + "/" + name, directory + "/" + name) == 0 else { throw PosixError("rename \(spool)/\(name)") }
  }

  // MARK: - Parts

  private func names(in directory: String) throws(StoreError) -> [String] {
    guard let stream = opendir(directory) else { throw StoreError(PosixError("open \(directory)"), path: directory) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// Exactly `count` bytes.
  private func read(_ count: Int) throws(StoreError) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let more = try readSome(count - bytes.count)
      guard !more.isEmpty else { throw cutShort }
      bytes += more
    }
    return bytes
  }

  /// At most `count` bytes; none at the end.
  private func readSome(_ count: Int) throws(StoreError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    while true {
      let got = bytes.withUnsafeMutableBytes { Glibc.read(source, $0.baseAddress, $0.count) }
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw StoreError(PosixError("read \(sourceName)"), path: sourceName) }
      return Array(bytes[..<got])
    }
  }

  private var cutShort: StoreError { unusable("it is cut short") }

  private func unusable(_ why: String) -> StoreError {
    StoreError(
      .backupUnusable, "\(sourceName) cannot be restored: \(why)",
      hint: "nothing was changed; take another backup, or a daemon of the version that made it")
  }
}
