package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEveryDeliveryGetsAnId(t *testing.T) {
	answer := httptest.NewRecorder()
	receive(answer, httptest.NewRequest("POST", "/", strings.NewReader("{}")))
	if len(answer.Body.String()) != 36 {
		t.Fatalf("no id: %q", answer.Body.String())
	}
}
