"""The control address /_sim/ of every simulator: what is shown and ordered over HTTP."""
import dataclasses

from .faults import KINDS
from .server import Response

CONTROL = "/_sim/"


class Control:
    """To be mixed into Simulator."""

    def control(self, request):
        """GET shows; POST orders; DELETE forgets. Documents are JSON."""
        what = request.path[len(CONTROL):]
        document = request.json() if request.body else {}
        try:
            if not isinstance(document, dict):
                raise ValueError("a JSON object is wanted")
            return Response.json(self.controlled(request.method, what, document))
        except (TypeError, ValueError) as problem:
            return Response.json({"error": str(problem), "faults": KINDS, "knobs": self.knobs}, 400)

    def controlled(self, method, what, document):
        if (method, what) == ("GET", ""):
            return {"vendor": self.vendor, "hosts": self.hosts, "ports": self.ports, "knobs": self.knobs, "set": self.knob,
                    "faults": [dataclasses.asdict(one) | {"begun": sorted(one.begun)} for one in self.faults], "violations": [str(one) for one in self.violations],
                    "requests": len(self.log)}
        if (method, what) == ("GET", "violations"):
            return {"violations": [str(one) for one in self.violations]}
        if (method, what) == ("GET", "log"):
            return {"log": [dataclasses.asdict(one) for one in self.log]}
        if (method, what) == ("DELETE", ""):
            self.forget()
        elif (method, what) == ("DELETE", "faults"):
            self.faults.clear()
        elif (method, what) == ("POST", "faults"):
            self.fault(**document)
        elif (method, what) == ("POST", "expire"):
            self.expire_tokens()
        elif (method, what) == ("POST", "advance"):
            self.clock.advance(float(document["seconds"]))
        elif (method, what) == ("POST", "knobs"):
            for name, value in document.items():
                self.set_knob(name, value)
        elif (method, what) == ("POST", "learn"):
            self.content.learn()
        else:
            raise ValueError(f"no {method} {CONTROL}{what}")
        return {"done": True}
