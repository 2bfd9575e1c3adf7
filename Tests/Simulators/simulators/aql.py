"""As much of the Artifactory Query Language as a scanner may need (registries.md 6.5)."""
import fnmatch
import json
import re
from dataclasses import dataclass

ITEM_FIELDS = {"repo", "path", "name", "type", "size", "created", "created_by", "modified", "modified_by", "updated", "sha256"}
CALL = re.compile(r"\s*\.\s*(include|sort|offset|limit)\s*\(([^()]*)\)")


@dataclass
class Query:
    criteria: dict
    include: list
    sort: dict
    offset: int
    limit: int

    @staticmethod
    def parse(text):
        """Raises ValueError for what is no query."""
        start = re.match(r"\s*items\s*\.\s*find\s*\(", text)
        if not start:
            raise ValueError("items.find(…) is expected")
        criteria, length = json.JSONDecoder().raw_decode(text[start.end():].lstrip())
        rest = text[start.end():].lstrip()[length:].lstrip()
        if not rest.startswith(")"):
            raise ValueError("find is not closed")
        query, place = Query(criteria, [], {}, 0, None), 1
        while rest[place:].strip():
            call = CALL.match(rest, place)
            if not call:
                raise ValueError("unexpected: " + rest[place:][:40])
            name, value = call.groups()
            if name == "include":
                query.include = json.loads(f"[{value}]")
            elif name == "sort":
                query.sort = json.loads(value)
            else:
                setattr(query, name, int(value))
            place = call.end()
        return query

    def matches(self, item):
        return matches(self.criteria, item)

    def repositories(self):
        """The repository keys that are asked for by name."""
        return set(re.findall(r'"repo"\s*:\s*(?:\{\s*"\$eq"\s*:\s*)?"([^"]+)"', json.dumps(self.criteria)))


def matches(criteria, item):
    for key, wanted in criteria.items():
        if key in ("$or", "$and"):
            every = any if key == "$or" else all
            if not every(matches(one, item) for one in wanted):
                return False
        elif isinstance(wanted, dict):
            for operator, value in wanted.items():
                holds = {"$eq": lambda v: item[key] == v, "$ne": lambda v: item[key] != v, "$gt": lambda v: item[key] > v,
                         "$match": lambda v: fnmatch.fnmatchcase(item[key], v),
                         "$nmatch": lambda v: not fnmatch.fnmatchcase(item[key], v)}.get(operator)
                if holds is None:
                    raise ValueError(f"no operator {operator}")
                if not holds(value):
                    return False
        elif key not in item:
            raise ValueError(f"no field {key}")
        elif item[key] != wanted:
            return False
    return True
