import Inventory
import JSON

extension JSONDocument {
  /// A text as the store takes it; nil for what is no text.
  func storedText(_ index: Int) -> String? { textBytes(index).map { Inventory.storedText($0) } }

  /// The members of an object, by key, that are objects themselves; none of what is no object.
  func forEachObject(of index: Int, _ body: (_ key: String, _ value: Int) -> Void) {
    guard nodes[index].kind == .object else { return }
    forEachMember(of: index) { key, value in
      if nodes[value].kind == .object, let key = storedText(key) { body(key, value) }
      return true
    }
  }

  /// The values of an array, without a list of them.
  func forEachElement(of index: Int, _ body: (_ value: Int) -> Void) {
    var child = index + 1
    while child < Int(nodes[index].next) {
      body(child)
      child = Int(nodes[child].next)
    }
  }
}
