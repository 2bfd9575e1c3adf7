import Glibc
import Logging

extension Daemon {
  /// Takes over what may change while the daemon runs: who may do what, the socket's mode, the log's level and format, and
  /// how long a stop waits. What else differs is named in a warning and waits for the next start. Throws `StartError` for
  /// names that do not exist; everything stays as it was then.
  package func reload(_ configuration: Configuration) throws {
    notifier.reloading()
    defer { notifier.ready(servingStatus) }
    let access = try Self.access(configuration)
    live.set(access: access, drainSeconds: configuration.drainSeconds)
    listener.admit(access, mode: configuration.socketMode)
    logSettings.set(level: configuration.logLevel, format: configuration.logFormat)
    log.info("settings were read anew")
    let waiting = configuration.differencesForNextStart(from: self.configuration)
    if !waiting.isEmpty {
      log.warning(
        "some changed settings take effect at the next start",
        metadata: ["settings": "\(waiting.joined(separator: ", "))"])
    }
  }

  /// Settings that cannot be read change nothing.
  package func refuseReload(_ what: String, hint: String) {
    log.error(
      "the settings cannot be read; those before stay in force", metadata: ["error": "\(what)", "hint": "\(hint)"])
  }
}

extension Configuration {
  /// Names of settings that differ from those the daemon started with and that only a start can change.
  func differencesForNextStart(from old: Configuration) -> [String] {
    let fixed: [(String, Bool)] = [
      ("stateDirectory", stateDirectory != old.stateDirectory),
      ("socket", socket != old.socket),
      ("socketGroup", socketGroup != old.socketGroup),
      ("resolve", resolve != old.resolve),
      ("sandbox", sandbox != old.sandbox),
      ("malware", malware != old.malware),
      ("rpc", rpc != old.rpc),
      ("store.mapSizeBytes", storeMapBytes != old.storeMapBytes),
      ("retention", retention != old.retention),
      ("scanner.slots", scannerSlots != old.scannerSlots),
      ("scanner.workers", scannerWorkers != old.scannerWorkers),
      ("scanner.imageBytesMaximum", scannerImageBytesMaximum != old.scannerImageBytesMaximum),
      (
        "scanner.blobBytesPerSecondMinimum", scannerBlobBytesPerSecondMinimum != old.scannerBlobBytesPerSecondMinimum
      ),
      ("scanner.blobIdleSeconds", scannerBlobIdleSeconds != old.scannerBlobIdleSeconds),
      ("advisories.mapSizeBytes", advisoriesMapBytes != old.advisoriesMapBytes),
      ("advisories.uploadBytesMaximum", uploadBytesMaximum != old.uploadBytesMaximum),
    ]
    return fixed.filter(\.1).map(\.0)
  }
}
