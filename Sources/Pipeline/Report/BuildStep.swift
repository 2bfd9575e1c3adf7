/// What one entry of an image's history says was done, as far as it can be told from its text: builders write the command
/// there as they ran it, with arguments of the build before it.
struct BuildStep {
  /// What a shell would take for words, quotes taken away and what separates commands standing alone.
  let words: [Substring]
  private let isAdd: Bool

  init(_ createdBy: String) {
    words = Self.split(createdBy)
    // "/bin/sh -c #(nop) ADD …" by the old builder, "ADD … # buildkit" by the new one.
    let instruction = words.first == "/bin/sh" ? words.dropFirst(2).drop { $0.hasPrefix("#(nop") }.first : words.first
    isAdd = instruction?.uppercased() == "ADD"
  }

  private static func split(_ text: String) -> [Substring] {
    text.split { $0.isWhitespace }.flatMap { word -> [Substring] in
      var pieces: [Substring] = []
      var rest = word
      while let index = rest.firstIndex(where: { "|;&".contains($0) }) {
        if index > rest.startIndex { pieces.append(rest[..<index]) }
        pieces.append(rest[index...index])
        rest = rest[rest.index(after: index)...]
      }
      if !rest.isEmpty { pieces.append(rest) }
      return pieces.map { piece in
        var piece = piece
        while let first = piece.first, "\"'([".contains(first) { piece.removeFirst() }
        while let last = piece.last, "\"')],".contains(last) { piece.removeLast() }
        return piece
      }
    }
  }

  private static func isAddress(_ word: Substring) -> Bool {
    ["http://", "https://", "ftp://"].contains { word.hasPrefix($0) }
  }

  var addsRemote: Bool {
    isAdd && words.contains(where: Self.isAddress) && !words.contains { $0.hasPrefix("--checksum=") }
  }

  /// The commands, with what is between them taken away; `isPiped`: it reads what the one before it writes.
  private var commands: [(words: ArraySlice<Substring>, isPiped: Bool)] {
    var commands: [(words: ArraySlice<Substring>, isPiped: Bool)] = []
    var start = words.startIndex
    var isPiped = false
    for index in words.indices where ["|", ";", "&"].contains(words[index]) {
      if start < index { commands.append((words[start..<index], isPiped)) }
      // "||" is no pipe.
      isPiped = words[index] == "|" && (index == 0 || words[index - 1] != "|")
      start = index + 1
    }
    if start < words.endIndex { commands.append((words[start...], isPiped)) }
    return commands
  }

  var pipesDownload: Bool {
    var downloads = false
    for command in commands {
      let programs = command.words.prefix(4).map { $0.split(separator: "/").last ?? $0 }
      if command.isPiped && downloads,
        programs.contains(where: {
          ["sh", "bash", "zsh", "dash", "ash", "python", "python3", "perl", "ruby"].contains($0)
        })
      {
        return true
      }
      let fetches = command.words.contains { word in ["curl", "wget"].contains(word.split(separator: "/").last ?? word)
      }
      downloads = fetches || (command.isPiped && downloads)
    }
    return false
  }

  /// The option that turns off the check of certificates.
  var verificationOff: Substring? {
    for command in commands {
      let isCurl = command.words.contains { ($0.split(separator: "/").last ?? $0) == "curl" }
      for word in command.words {
        if ["--insecure", "--no-check-certificate", "--trusted-host", "http.sslVerify=false", "--no-verify-ssl"]
          .contains(word)
        {
          return word
        }
        // Short options may be written together.
        if isCurl, word.hasPrefix("-"), !word.hasPrefix("--"), word.dropFirst().allSatisfy(\.isLetter),
          word.contains("k")
        {
          return "-k"
        }
      }
    }
    return nil
  }

  var unsignedOption: Substring? {
    words.first {
      [
        "--allow-unauthenticated", "--force-yes", "--allow-untrusted", "--nogpgcheck", "--no-gpg-checks",
        "--skip-verify",
      ]
      .contains($0)
    }
  }

  var opensMode: Bool {
    commands.contains { command in
      guard let chmod = command.words.firstIndex(where: { ($0.split(separator: "/").last ?? $0) == "chmod" }) else {
        return false
      }
      return command.words[chmod...].contains {
        ["777", "0777", "666", "0666", "a+w", "o+w", "a+rwx", "o+rwx", "ugo+rwx"].contains($0)
      }
    }
  }

  /// Variables and options that are given secrets.
  var secretNames: [String] {
    var found: [String] = []
    func add(_ name: Substring, _ value: Substring) {
      let name = String(name.drop { $0 == "-" })
      if SecretNames.isSecret(name) && SecretNames.isRealValue(value) && !found.contains(name) { found.append(name) }
    }
    for (index, word) in words.enumerated() {
      if let equals = word.firstIndex(of: "=") {
        add(word[..<equals], word[word.index(after: equals)...])
      } else if word.hasPrefix("--"), index + 1 < words.count, !words[index + 1].hasPrefix("-") {
        add(word, words[index + 1])
      }
      if Self.hasPassword(address: word) && !found.contains(Self.addressPassword) { found.append(Self.addressPassword) }
    }
    return found
  }

  private static let addressPassword = "the password of an address"

  /// As in https://user:password@host/path.
  private static func hasPassword(address word: Substring) -> Bool {
    let parts = word.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count >= 3, parts[0].hasSuffix(":"), parts[1].isEmpty, let at = parts[2].lastIndex(of: "@") else {
      return false
    }
    let user = parts[2][..<at]
    return user.firstIndex(of: ":").map { SecretNames.isRealValue(user[user.index(after: $0)...]) } ?? false
  }
}
