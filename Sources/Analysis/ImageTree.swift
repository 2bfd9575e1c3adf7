import StorageMessages

/// The watched part of an image's file tree while its layers are laid one over another. Paths are resolved in this tree
/// alone, as a container sees them: nothing here ever touches the host's files.
struct ImageTree {
  /// Symbolic links followed in one resolution, as in Linux.
  static let linksMax = 40
  /// Watched paths have six components; only links lead deeper. The tree is walked by recursion.
  static let depthMax = 128

  /// A file whose contents were read, or one that could not be (`database` and `os` nil).
  final class File {
    let path: [UInt8]
    let database: PackageDatabase?
    let os: OSRelease?
    let layer: Int

    init(path: [UInt8], database: PackageDatabase?, os: OSRelease?, layer: Int) {
      self.path = path
      self.database = database
      self.os = os
      self.layer = layer
    }
  }

  final class Node {
    fileprivate(set) var kind: Kind
    fileprivate(set) var children: [[UInt8]: Node] = [:]

    fileprivate init(_ kind: Kind) { self.kind = kind }
  }

  enum Kind {
    case directory
    case symlink([UInt8])
    case file(File)
    /// A device or FIFO.
    case other
  }

  enum Lookup {
    case found(Node)
    /// Not in the tree. `path` is where it would be; `link` the last symbolic link on the way there, if there was one.
    case absent(path: [UInt8], link: [UInt8]?)
    /// Too many links, or too deep.
    case unresolvable
  }

  private let root = Node(.directory)

  /// Follows links everywhere, in the last component too.
  func lookUp(_ path: [UInt8]) -> Lookup {
    var walk = Walk(path)
    while let component = walk.next() {
      guard let child = (walk.nodes.last ?? root).children[component] else {
        return .absent(path: walk.path(to: component), link: walk.lastLink)
      }
      if case .symlink(let target) = child.kind {
        guard walk.follow(target, from: component) else { return .unresolvable }
      } else {
        guard walk.enter(component, child) else { return .unresolvable }
      }
    }
    return .found(walk.nodes.last ?? root)
  }

  /// Makes the node at `path` what an entry of a layer says: directories stay what they were below. Links above the last
  /// component are followed, missing directories made. Returns the files that are gone by it; nil where the path
  /// cannot be resolved.
  func place(_ kind: Kind, at path: [UInt8]) -> [File]? {
    guard let slot = slot(for: path, isMade: true) else { return nil }
    guard let slot = slot.value else { return [] }
    let before = slot.parent.children[slot.name]
    if case .directory = kind, let before, case .directory = before.kind { return [] }
    slot.parent.children[slot.name] = Node(kind)
    return slot.removed + (before.map(Self.files) ?? [])
  }

  /// Takes away what is at `path`, or only what is below it. Returns the files that are gone.
  func remove(_ path: [UInt8], onlyBelow: Bool) -> [File] {
    if onlyBelow {
      guard case .found(let node) = lookUp(path), case .directory = node.kind else { return [] }
      defer { node.children = [:] }
      return node.children.values.flatMap(Self.files)
    }
    guard let slot = slot(for: path, isMade: false)?.value else { return [] }
    return slot.parent.children.removeValue(forKey: slot.name).map(Self.files) ?? []
  }

  private struct Slot {
    let parent: Node
    let name: [UInt8]
    var removed: [File]
  }

  /// A slot, or its absence: the parent is not in the tree, or the path is the root.
  private struct Found {
    var value: Slot?
  }

  /// Nil for a path that cannot be resolved.
  private func slot(for path: [UInt8], isMade: Bool) -> Found? {
    let cut = path.lastIndex(of: UInt8(ascii: "/"))
    let name = Array(path[(cut.map { $0 + 1 } ?? 0)...])
    if name.isEmpty { return Found(value: nil) }
    var walk = Walk(cut.map { Array(path[..<$0]) } ?? [])
    var removed: [File] = []
    while let component = walk.next() {
      let parent = walk.nodes.last ?? root
      let child = parent.children[component]
      if let child, case .symlink(let target) = child.kind {
        guard walk.follow(target, from: component) else { return nil }
        continue
      }
      if let child, case .directory = child.kind {
        guard walk.enter(component, child) else { return nil }
        continue
      }
      // What is no directory gives way, as the entry below it could not be there otherwise.
      guard isMade else { return Found(value: nil) }
      if let child { removed += Self.files(of: child) }
      let made = Node(.directory)
      guard walk.enter(component, made) else { return nil }
      parent.children[component] = made
    }
    return Found(value: Slot(parent: walk.nodes.last ?? root, name: name, removed: removed))
  }

  private static func files(of node: Node) -> [File] {
    if case .file(let file) = node.kind { return [file] }
    return node.children.values.flatMap(files)
  }

  /// One resolution in progress: where it stands, and what is still to be walked.
  private struct Walk {
    /// From the root to where it stands; the root itself is left out of `names`.
    private(set) var nodes: [Node] = []
    private var names: [[UInt8]] = []
    /// In reverse.
    private var pending: [[UInt8]]
    private var links = 0
    private(set) var lastLink: [UInt8]?

    init(_ path: [UInt8]) { pending = Self.components(path).reversed() }

    /// The next component that is a name.
    mutating func next() -> [UInt8]? {
      while let component = pending.popLast() {
        if component != Array("..".utf8) { return component }
        if !names.isEmpty {
          names.removeLast()
          nodes.removeLast()
        }
      }
      return nil
    }

    /// False when that is too deep.
    mutating func enter(_ name: [UInt8], _ node: Node) -> Bool {
      guard names.count < ImageTree.depthMax else { return false }
      names.append(name)
      nodes.append(node)
      return true
    }

    /// False once there were too many. A link that leaves the root stays at the root, as in a container.
    mutating func follow(_ target: [UInt8], from name: [UInt8]) -> Bool {
      links += 1
      guard links <= ImageTree.linksMax else { return false }
      lastLink = path(to: name, withPending: false)
      if target.first == UInt8(ascii: "/") {
        names = []
        nodes = []
      }
      pending.append(contentsOf: Self.components(target).reversed())
      return true
    }

    /// Where `name` and what is pending would lead, written out.
    func path(to name: [UInt8], withPending: Bool = true) -> [UInt8] {
      var parts = names + [name]
      if withPending {
        for part in pending.reversed() {
          if part == Array("..".utf8) { _ = parts.popLast() } else { parts.append(part) }
        }
      }
      return Array(parts.joined(separator: [UInt8(ascii: "/")]))
    }

    private static func components(_ path: [UInt8]) -> [[UInt8]] {
      path.split(separator: UInt8(ascii: "/")).filter { !$0.elementsEqual(".".utf8) }.map(Array.init)
    }
  }
}
