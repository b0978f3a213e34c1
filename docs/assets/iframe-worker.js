// Search without a server: a browser starts no worker for a page that it opened from a file, so a
// frame of the page runs the worker's script, with the two ways of messages that a worker has.
// (Material's offline plugin fetches a script for this from elsewhere unless it finds one here.)
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.documentElement.append(frame)
      this.inside = frame.contentWindow
      this.inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      const script = frame.contentDocument.createElement("script")
      script.src = new URL(url, document.baseURI)
      this.ready = new Promise(resolve => script.addEventListener("load", resolve))
      frame.contentDocument.body.append(script)
    }

    postMessage(data) {
      const deliver = () => this.inside.dispatchEvent(new MessageEvent("message", { data }))
      this.ready.then(deliver)
    }

    terminate() {}
  }
}
