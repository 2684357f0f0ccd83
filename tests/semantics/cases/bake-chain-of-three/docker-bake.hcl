target "base" { dockerfile = "Dockerfile.base" }
target "mid" {
  dockerfile = "Dockerfile.mid"
  contexts = { base = "target:base" }
}
target "top" {
  dockerfile = "Dockerfile.top"
  contexts = { mid = "target:mid" }
}
